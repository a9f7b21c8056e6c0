package l4

// A loop may have 100,000 sessions, and whoever asks about them, or ends them,
// must not hold up their traffic: the loop goes through its list in steps, between
// which it serves its connections.
const (
	// scanStep is how many sessions are looked at in one step.
	scanStep = 512
	// endCost is what ending a session counts for beside a look: two descriptors to close.
	endCost = 8
)

// live is a session that is open, of TCP or UDP, or a tunnel of L7, as those see it who
// look at all of them. It is used on its loop, and only until the visit ends.
type live interface {
	// ID identifies the session, also after others took over the object it is in.
	ID() uint64
	// show fills in x.
	show(x *Session)
	// at reports whether the session is on this server of this pool.
	at(pool, backend string) bool
	close(why reason)
}

// visitor looks at a session, which it may close, and says what that cost and
// whether it wants to see more.
type visitor func(live) (cost int, more bool)

// scan is one walk through the sessions of a shard, the newest first. Sessions that
// begin during the walk may be left out. Everything happens on the loop.
type scan struct {
	shard *shard

	// The next of each list; all lists are in the order of their numbers.
	tcp     *session
	udp     *udpSession
	tunnels *session
	guests  *guest

	visit visitor
	done  func() // called once, at the end
}

// startScan begins a walk on the loop, from any goroutine. It reports false, and
// neither function is called, where the loop has ended.
func (sh *shard) startScan(visit visitor, done func()) bool {
	return sh.loop.Do(func() {
		sc := &scan{
			shard: sh, tcp: sh.first, udp: sh.udp.first, tunnels: sh.tunnels, guests: sh.guests,
			visit: visit, done: done,
		}
		sh.scans = append(sh.scans, sc)
		sc.step()
	})
}

// step visits some sessions, and comes back for the others.
func (sc *scan) step() {
	defer sc.shard.loop.Recovered(sc)
	for budget := scanStep; budget > 0; {
		s := sc.next()
		if s == nil {
			sc.end()
			return
		}
		cost, more := sc.visit(s)
		if !more {
			sc.end()
			return
		}
		budget -= 1 + cost
	}
	if !sc.shard.loop.Do(sc.step) {
		sc.end()
	}
}

// next is the session to visit, the newest of all lists; nil at the end.
func (sc *scan) next() live {
	var tcp, udp, tunnel, guest uint64
	if sc.tcp != nil {
		tcp = sc.tcp.number
	}
	if sc.udp != nil {
		udp = sc.udp.number
	}
	if sc.tunnels != nil {
		tunnel = sc.tunnels.number
	}
	if sc.guests != nil {
		guest = sc.guests.number
	}
	switch max(tcp, udp, tunnel, guest) {
	case 0:
		return nil
	case tcp:
		s := sc.tcp
		sc.tcp = s.next
		return s
	case udp:
		s := sc.udp
		sc.udp = s.next
		return s
	case tunnel:
		s := sc.tunnels
		sc.tunnels = s.next
		return s
	default:
		g := sc.guests
		sc.guests = g.next
		return g
	}
}

// Abort implements [loop.Aborter]: whoever waits for the end must not wait for ever.
func (sc *scan) Abort() { sc.end() }

func (sc *scan) end() {
	scans := sc.shard.scans
	for i, other := range scans {
		if other == sc {
			last := len(scans) - 1
			scans[i], scans[last] = scans[last], nil
			sc.shard.scans = scans[:last]
			sc.done()
			return
		}
	}
}

// skip is told of each session that ends, while its place in the list is known.
func (sh *shard) skip(s *session) {
	for _, sc := range sh.scans {
		if sc.tcp == s {
			sc.tcp = s.next
		}
		if sc.tunnels == s {
			sc.tunnels = s.next
		}
	}
}

// skipGuest is the same for a tunnel that L7 relays itself.
func (sh *shard) skipGuest(g *guest) {
	for _, sc := range sh.scans {
		if sc.guests == g {
			sc.guests = g.next
		}
	}
}

// skipUDP is the same for a session of UDP.
func (sh *shard) skipUDP(s *udpSession) {
	for _, sc := range sh.scans {
		if sc.udp == s {
			sc.udp = s.next
		}
	}
}
