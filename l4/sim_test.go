package l4

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weir/conf"
	"weir/l4/loop"
	"weir/pool"
	"weir/pool/metric"
)

var (
	simSeeds = flag.Int("sim.seeds", 0, "simulated lives of sessions; 0: 3000, with the race detector 500")
	simSeed  = flag.Uint64("sim.seed", 0, "run this one alone, and tell what happened")
)

// TestSimulation lives through whole sessions in a kernel where any call may be
// interrupted, fall short or fail, and events come late, in any order or for
// nothing. Each seed is one history, the same every time. In all of them nothing is
// lost, repeated, out of order, leaked or cut without an RST; in those without
// faults every byte and both ends arrive, and no timer is needed for it.
func TestSimulation(t *testing.T) {
	s := newSimulation(t)
	if *simSeed != 0 {
		s.t.Logf("seed %d: %s", *simSeed, s.live(*simSeed))
		return
	}
	if *simSeeds == 0 {
		if *simSeeds = 3000; raceEnabled {
			*simSeeds = 500
		}
	}
	ends := map[string]int{}
	for seed := uint64(1); seed <= uint64(*simSeeds); seed++ {
		ends[s.live(seed)]++
		if t.Failed() {
			t.Fatalf("go test ./l4 -run TestSimulation -sim.seed %d", seed)
		}
	}
	overtaken := s.w.metrics.Counter(metric.L4ConnectFailures, "dual", "outraced").Load()
	t.Logf("%d seeds: %v, %d second connects won", *simSeeds, ends, overtaken)
	if overtaken == 0 {
		t.Error("no second connect won")
	}
	for _, why := range []string{"done", "client_reset", "backend_reset", "connect_failed", "idle_timeout"} {
		if ends[why] == 0 {
			t.Errorf("no session ended with %s", why)
		}
	}
}

// simulation is a server whose one loop has its sessions on a simulated kernel.
type simulation struct {
	t       *testing.T
	w       *world
	shard   *shard
	real    kernel
	routing []*routing
	hello   string
}

func newSimulation(t *testing.T) *simulation {
	p := poolOf("p", "127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3")
	p.Ejection.Enabled = false
	dual := p
	dual.Name, dual.Servers = "dual", []conf.Server{
		{Addr: tcpAddr("dual.test:2"), Weight: 1}, {Addr: tcpAddr("dual.test:3"), Weight: 1},
	}
	w := newWorld(t, worldOptions{loops: 1, dns: dualNames(t)}, p, dual)
	times := conf.L4{Pool: "p", IdleTimeout: time.Minute, HalfClosedTimeout: 30 * time.Second, SniffTimeout: 5 * time.Second}
	plain, sniffs, waits, old := times, times, times, times
	plain.Name, sniffs.Name, waits.Name, old.Name = "plain", "sniffs", "waits", "old"
	sniffs.Routes = []conf.L4Route{{SNI: []string{"a.test"}, Pool: "p"}}
	waits.Routes, waits.ServerFirstWait = sniffs.Routes, 100*time.Millisecond
	old.Lifetime = 3 * time.Minute
	names := old
	names.Name, names.Pool = "names", "dual"
	w.serve(w.l4(plain), w.l4(sniffs), w.l4(waits), w.l4(old), w.l4(names))
	s := &simulation{t: t, w: w, shard: w.srv.shards[0], hello: string(hello(t, "a.test"))}
	for _, b := range w.srv.bindings {
		s.routing = append(s.routing, b.routing.Load())
	}
	s.real = s.shard.loop
	t.Cleanup(func() { s.shard.loop = s.real })
	return s
}

// life is one session with its two peers.
type life struct {
	k              *simKernel
	rng            *rand.Rand
	client, server *simConn
	faults         bool // anything may break
	quiet          bool // a peer may stall, or never end
	chatty         bool // what the peers say comes in small pieces
	refuses        [4]unix.Errno
}

// live runs the history of one seed and returns how it ended.
func (s *simulation) live(seed uint64) string {
	rng := rand.New(rand.NewPCG(seed, 4711))
	k := &simKernel{
		rng: rng, scratch: make([]byte, loop.ScratchSize), pipes: map[int]*simPipe{},
		faults: rng.IntN(3) == 0,
	}
	l := &life{k: k, rng: rng, faults: k.faults, quiet: rng.IntN(5) == 0, chatty: rng.IntN(2) == 0}
	buffers := pool.Live()
	b := new(binding)
	b.routing.Store(s.routing[rng.IntN(len(s.routing))])
	if rng.IntN(6) == 0 {
		b.path = "unix"
	}
	l.populate(s, b)
	s.shard.loop = k
	k.open(l.client)
	before := s.counts()
	l.run(s, func() { s.shard.take(b, l.client.fd, netip.MustParseAddrPort("192.0.2.9:999")) })
	why := s.ended(before)
	s.check(l, buffers, why)
	for _, wrong := range k.wrong {
		s.t.Errorf("seed %d, ended with %q: %s", seed, why, wrong)
	}
	s.shard.closeAll(reasonInternal) // of a history that went wrong
	return why
}

// populate makes the two peers and what they have to say.
func (l *life) populate(s *simulation, b *binding) {
	up := &simStream{size: l.size(), salt: byte(l.rng.Uint32())}
	down := &simStream{size: l.size(), salt: byte(l.rng.Uint32())}
	r := b.routing.Load()
	switch {
	case r.byBytes(netip.Addr{}) && l.rng.IntN(2) == 0:
		up.lead = s.hello
		up.size += len(up.lead)
	case r.byBytes(netip.Addr{}):
		up.lead = "x" // neither TLS nor nothing
		up.size = max(up.size, 1)
	}
	l.client = &simConn{name: "client", out: up, in: down, room: 1 + l.rng.IntN(200_000), connected: true, unix: b.path != ""}
	l.server = &simConn{name: "server", out: down, in: up, room: 1 + l.rng.IntN(200_000)}
	if l.quiet {
		for _, c := range []*simConn{l.client, l.server} {
			c.stalls, c.keepOpen = l.rng.IntN(4) == 0, l.rng.IntN(3) == 0
		}
	}
	for port := 1; port <= 3; port++ {
		if l.rng.IntN(4) == 0 && (l.faults || port < 3) {
			l.refuses[port] = []unix.Errno{unix.ECONNREFUSED, unix.EHOSTUNREACH, unix.EADDRNOTAVAIL}[l.rng.IntN(3)]
		}
	}
	l.k.answers = func(port int) (unix.Errno, *simConn) {
		if errno := l.refuses[port]; errno != 0 {
			return errno, nil
		}
		// Two connects may go on at once. Both lead to the same peer, of which only the
		// one that wins takes or gives anything.
		return 0, &simConn{
			name: "server", out: down, in: up, room: l.server.room, stalls: l.server.stalls, keepOpen: l.server.keepOpen,
		}
	}
	l.k.won = func(c *simConn) {
		c.won = true
		l.server = c
	}
	l.k.slow = func() time.Duration {
		switch {
		case r.listener.name != "names" || l.rng.IntN(3) > 0:
			return 0
		case (l.faults || l.quiet) && l.rng.IntN(3) == 0:
			return time.Hour
		}
		return time.Duration(l.rng.IntN(700)) * time.Millisecond
	}
}

// size is how much a peer has to say: nothing, some bytes, or enough for a pipe.
func (l *life) size() int {
	if l.rng.IntN(10) == 0 {
		return 300_000 + l.rng.IntN(700_000)
	}
	return l.rng.IntN([]int{1, 2, 100, 5000, 70_000, 140_000}[l.rng.IntN(6)])
}

// run begins a session and lets things happen until it has ended.
func (l *life) run(s *simulation, begin func()) {
	defer func() {
		if v := recover(); v != nil {
			l.k.bad("panic: %v\n%s", v, debug.Stack())
		}
	}()
	begin()
	round := 1 + l.rng.IntN(10) // of how many events
	for steps := 0; s.shard.first != nil && len(l.k.wrong) == 0; steps++ {
		if steps > 2_000_000 {
			l.k.bad("the session does not end; %s", l)
			return
		}
		switch {
		case l.rng.IntN(round) == 0:
			l.k.CatchUp()
		case len(l.k.late) > 0 && l.faults && l.rng.IntN(20) == 0: // while much is put off
			l.disturb()
			continue
		case len(l.k.late) > 0 && l.quiet && l.rng.IntN(100) == 0: // as a timer does
			s.shard.first.close(reasonIdle)
			continue
		}
		switch n := l.rng.IntN(100); {
		case n < 45:
			if l.deliver() || l.proceed() {
				continue
			}
		case n < 98:
			if l.proceed() || l.deliver() {
				continue
			}
		default:
			l.disturb()
			continue
		}
		if len(l.k.late) > 0 {
			l.k.CatchUp() // before the loop waits
			continue
		}
		l.expire(s)
	}
}

// deliver reports the events of one descriptor, as they are by now.
func (l *life) deliver() bool {
	return l.anyOf(func(c *simConn) bool {
		if c.ev == 0 || c.h == nil {
			return false
		}
		ev := c.ready() | c.ev&unix.EPOLLOUT
		if c.ev = 0; ev == 0 {
			return false
		}
		c.h.Ready(c.fd, ev)
		return true
	})
}

// anyOf tries f on the open connections from a random one on, until it succeeds.
func (l *life) anyOf(f func(*simConn) bool) bool {
	n := len(l.k.conns)
	start := l.rng.IntN(n)
	for i := range n {
		if c := l.k.conns[(start+i)%n]; c != nil && f(c) {
			return true
		}
	}
	return false
}

// proceed lets the network or a peer get on with something.
func (l *life) proceed() bool { return l.anyOf(l.advance) }

func (l *life) advance(c *simConn) bool {
	if c.dialing {
		if l.k.now < c.until {
			return false
		}
		l.k.establish(c)
		return true
	}
	if c.dead || !c.connected {
		return false
	}
	moves := []func(*simConn) bool{l.speak, l.arrive, l.drain}
	l.rng.Shuffle(len(moves), func(i, j int) { moves[i], moves[j] = moves[j], moves[i] })
	for _, move := range moves {
		if move(c) {
			return true
		}
	}
	return false
}

// some is a number up to n, often all and often little.
func (l *life) some(n int) int {
	switch l.rng.IntN(4) {
	case 0:
		return n
	case 1:
		return min(n, 1+l.rng.IntN(64))
	}
	return 1 + l.rng.IntN(n)
}

func (l *life) speak(c *simConn) bool {
	if n := c.out.size - c.sent; n > 0 {
		c.sent += l.some(min(n, 400_000))
		return true
	}
	if c.finSent || c.keepOpen {
		return false
	}
	c.finSent = true
	return true
}

func (l *life) arrive(c *simConn) bool {
	if n := c.sent - c.arrived; n > 0 {
		if l.chatty && c.out.size < 10_000 {
			n = min(n, 200)
		}
		c.arrived += l.some(n)
		c.ev |= unix.EPOLLIN
		return true
	}
	if !c.finSent || c.finHere {
		return false
	}
	c.finHere = true
	c.ev |= unix.EPOLLIN | unix.EPOLLRDHUP
	return true
}

func (l *life) drain(c *simConn) bool {
	n := c.written - c.drained
	if c.stalls {
		n = 0
	}
	if n == 0 && c.busy == 0 {
		return false
	}
	m := 0
	if n > 0 {
		m = l.some(n)
	}
	c.drained += m
	c.room += m + c.busy
	c.busy = 0
	if c.nospace {
		c.nospace = false
		c.ev |= unix.EPOLLOUT
	}
	return true
}

// disturb reports something that is not so, or breaks something.
func (l *life) disturb() {
	l.anyOf(func(c *simConn) bool {
		switch {
		case l.faults && l.rng.IntN(8) == 0 && c.connected && !c.dead:
			l.k.fail(c, []unix.Errno{unix.ECONNRESET, unix.ETIMEDOUT, unix.EPIPE}[l.rng.IntN(3)])
		case c.h != nil:
			c.h.Ready(c.fd, loop.Events(l.rng.Uint32())&bothWaysOrBroken)
		}
		return true
	})
}

const bothWaysOrBroken = unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLPRI | loop.Ended

// expire lets the time pass in which nothing happens.
func (l *life) expire(s *simulation) {
	if !l.faults && !l.quiet && s.shard.first.state >= stateRelaying {
		l.k.bad("stuck: nothing is under way, and the session waits for a timer; %s", l)
		return
	}
	for _, way := range [][2]*simConn{{l.client, l.server}, {l.server, l.client}} {
		from, to := way[0], way[1]
		if s.shard.first.state >= stateRelaying && from.arrived > from.out.taken && to.room > 0 && !to.dead {
			l.k.bad("stuck: %d bytes wait at the %s, and the other side takes more; %s",
				from.arrived-from.out.taken, from.name, l)
			return
		}
	}
	if len(l.k.timers) == 0 {
		l.k.bad("stuck: nothing is under way, and there is no timer; %s", l)
		return
	}
	next := l.k.timers[0]
	for _, t := range l.k.timers {
		if t.at < next.at {
			next = t
		}
	}
	for _, c := range l.k.conns {
		if c != nil && c.dialing && c.until <= next.at {
			l.k.now = max(l.k.now, c.until)
			return
		}
	}
	l.k.Disarm(next.timer)
	l.k.now = max(l.k.now, next.at)
	next.e.Expire(next.timer)
}

// String tells how far both directions are.
func (l *life) String() string {
	f := func(c *simConn) string {
		return fmt.Sprintf("%s sent %d of %d (end %t), %d arrived, %d read; was written %d, of which it read %d (end %t)",
			c.name, c.sent, c.out.size, c.finSent, c.arrived, c.out.taken, c.written, c.drained, c.shut)
	}
	return f(l.client) + "; " + f(l.server)
}

// check holds the end against what must be true of every end.
func (s *simulation) check(l *life, buffers int, why string) {
	k := l.k
	if s.shard.first != nil {
		return // it was cut short for what is told already
	}
	if n := len(k.late); n > 0 {
		k.bad("%d writes are left that were put off", n)
	}
	for fd, c := range k.conns {
		if c != nil {
			k.bad("%s is left open (descriptor %d)", c.name, fd)
		}
	}
	if n := len(k.pipes); n > 0 || s.w.srv.pipes.Load() != 0 {
		k.bad("%d ends of pipes are left, %d pipes counted", n, s.w.srv.pipes.Load())
	}
	if n := len(k.timers); n > 0 {
		k.bad("%d timers are left", n)
	}
	if n := pool.Live(); n != buffers {
		k.bad("%d buffers are left", n-buffers)
	}
	for _, m := range slices.Concat(s.w.reg.Group("p").Members(), s.w.reg.Group("dual").Members()) {
		if n := m.InFlight(); n != 0 {
			k.bad("%s: %d slots are not given back", m.Name(), n)
		}
	}
	if l.faults || l.quiet {
		return
	}
	for _, c := range []*simConn{l.client, l.server} {
		if c.written != c.in.size || !c.shut && why != "done" {
			k.bad("%s got %d of %d bytes; %s", c.name, c.written, c.in.size, l)
		}
	}
	if why != "done" {
		k.bad("ended with %s; %s", why, l)
	}
}

// counts are the ends so far, by reason.
func (s *simulation) counts() (n [numReasons]uint64) {
	for why := range numReasons {
		n[why] = s.w.closedCount(why)
	}
	return n
}

func (s *simulation) ended(before [numReasons]uint64) string {
	var all []string
	for why, n := range s.counts() {
		if n > before[why] {
			all = append(all, reason(why).String())
		}
	}
	return strings.Join(all, "+")
}
