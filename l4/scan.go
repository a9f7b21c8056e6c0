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

// scan is one walk through the sessions of a shard, the newest first. Sessions that
// begin during the walk may be left out. Everything happens on the loop.
type scan struct {
	shard *shard
	next  *session
	visit func(*session) (cost int, more bool) // may close the session
	done  func()                               // called once, at the end
}

// startScan begins a walk on the loop, from any goroutine. It reports false, and
// neither function is called, where the loop has ended.
func (sh *shard) startScan(visit func(*session) (int, bool), done func()) bool {
	return sh.loop.Do(func() {
		sc := &scan{shard: sh, next: sh.first, visit: visit, done: done}
		sh.scans = append(sh.scans, sc)
		sc.step()
	})
}

// step visits some sessions, and comes back for the others.
func (sc *scan) step() {
	defer sc.shard.loop.Recovered(sc)
	for budget := scanStep; budget > 0; {
		s := sc.next
		if s == nil {
			sc.end()
			return
		}
		sc.next = s.next
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
		if sc.next == s {
			sc.next = s.next
		}
	}
}
