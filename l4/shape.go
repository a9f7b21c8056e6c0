package l4

import (
	"sync/atomic"
	"time"

	"weir/conf"
	"weir/l4/loop"
	"weir/pool/limit"
)

// Shaping holds back how fast bytes are read; what is not read waits in the kernel,
// whose window tells the sender. A direction that is not shaped has no meter and pays
// one branch per read.
//
// A session's own rate is a bucket: when it is empty, the direction waits for its
// timer. The rate of a listener is a bucket of all loops. On each loop it has a lane:
// directions that found the bucket empty wait there in a line, and each tick of the
// lane gives those in front an equal portion and sends them back to the end, so that
// sessions share whatever their speed. A lane takes from the bucket what belongs to
// its part of the waiting directions of all loops.
const (
	// shapeTick is the time between two portions.
	shapeTick = 20 * time.Millisecond
	// shapeWindow bounds what a quiet direction can save up; it covers a timer that is late.
	shapeWindow = 200 * time.Millisecond
	// shapeStart is what a new bucket holds: enough for a first message.
	shapeStart = 50 * time.Millisecond
	// minPortion keeps the reads of a crowded lane from becoming tiny.
	minPortion = 4 << 10
)

// shape is the rate of a listener in one direction. It lives as long as the listener.
type shape struct {
	bucket  limit.Bucket
	waiting atomic.Int64 // directions in the lanes of all loops
	lanes   []lane       // by loop, each touched on its loop only
}

// shaping is both directions of a listener.
type shaping struct{ up, down shape }

func newShaping(srv *Server) *shaping {
	sh := new(shaping)
	for _, s := range []*shape{&sh.up, &sh.down} {
		s.bucket.Reset(srv.clock(), shapeStart)
		s.lanes = make([]lane, len(srv.shards))
		for i := range s.lanes {
			s.lanes[i].shape, s.lanes[i].shard = s, srv.shards[i]
		}
	}
	return sh
}

// clock is one for all loops, which have clocks of their own.
func (s *Server) clock() time.Duration { return time.Since(s.started) }

// setRates puts the rates of the configuration in force.
func (sh *shaping) setRates(c *conf.L4) {
	if c == nil {
		return
	}
	sh.up.bucket.SetRate(int64(c.ListenerUploadRate))
	sh.down.bucket.SetRate(int64(c.ListenerDownloadRate))
}

// lane is where directions of one loop wait for their portion of a shape.
type lane struct {
	shape       *shape
	shard       *shard
	first, last *meter
	n           int64 // that wait
	timer       loop.Timer
	ticked      time.Duration // when portions were given last
}

// meter is what a shaped direction has. It belongs to the session's loop.
type meter struct {
	session *session
	dir     *direction
	own     limit.Bucket
	lane    *lane      // nil: no rate of the listener
	timer   loop.Timer // runs while the own bucket is empty
	portion int64      // granted by the lane, while it has its turn
	queued  bool       // in the lane, between these
	next    *meter
	prev    *meter
}

// shapeSession gives the directions of s their meters, where rates ask for them.
func (s *session) shapeSession() {
	c := s.routing.conf
	sh := s.routing.listener.shaping
	s.up.meter = s.newMeter(&s.up, c.UploadRate, &sh.up)
	s.down.meter = s.newMeter(&s.down, c.DownloadRate, &sh.down)
}

func (s *session) newMeter(d *direction, rate conf.Size, all *shape) *meter {
	if rate <= 0 && all.bucket.Rate() <= 0 {
		return nil
	}
	m := &meter{session: s, dir: d}
	m.own.SetRate(int64(rate))
	m.own.Reset(s.shard.server.clock(), shapeStart)
	if all.bucket.Rate() > 0 {
		m.lane = &all.lanes[s.shard.index]
	}
	return m
}

// allow says how many of most bytes may be read now. Where it is none, the meter has
// seen to it that the direction is tried again. Less than what a tick brings is none:
// many small reads would cost more than they bring.
func (m *meter) allow(most int) int {
	if m.waits() {
		return 0
	}
	now := m.session.shard.server.clock()
	own := enough(&m.own, now, most)
	if own == 0 {
		m.session.shard.loop.Arm(&m.timer, shapeTick, m)
		return 0
	}
	switch {
	case m.lane == nil:
		return own
	case m.portion > 0:
		return int(min(int64(own), m.portion))
	case m.lane.shape.waiting.Load() == 0: // else those on other loops would wait for what is taken here
		if n := enough(&m.lane.shape.bucket, now, most); n > 0 {
			return min(own, n)
		}
	}
	m.lane.join(m, now)
	return 0
}

// enough is what b has, at most most, or 0 where that is less than a tick's worth.
func enough(b *limit.Bucket, now time.Duration, most int) int {
	n := b.Available(now, shapeWindow)
	if worth := b.Rate() * int64(shapeTick) / int64(time.Second); n < min(worth, int64(most)) || n <= 0 {
		return 0
	}
	return int(min(n, int64(most)))
}

// spent is told of n bytes that were read.
func (m *meter) spent(n int) {
	now := m.session.shard.server.clock()
	m.own.Spend(now, shapeWindow, int64(n))
	if m.lane != nil {
		m.lane.shape.bucket.Spend(now, shapeWindow, int64(n))
		m.portion = max(m.portion-int64(n), 0)
	}
}

// waits reports whether the direction is held back.
func (m *meter) waits() bool { return m != nil && (m.queued || m.timer.Armed()) }

// stop ends all that waits for the meter.
func (m *meter) stop() {
	if m == nil {
		return
	}
	m.session.shard.loop.Disarm(&m.timer)
	if m.queued {
		m.lane.leave(m)
	}
}

// Expire implements [loop.Expirer]: the own bucket has something again.
func (m *meter) Expire(*loop.Timer) { m.resume() }

// Abort implements [loop.Aborter].
func (m *meter) Abort() { m.session.Abort() }

// resume lets the direction go on.
func (m *meter) resume() {
	s := m.session
	if s.state == stateRelaying || s.state == stateHalfClosed {
		s.relay()
	}
}

// join puts m at the end of the line.
func (l *lane) join(m *meter, now time.Duration) {
	if m.queued {
		return
	}
	m.queued, m.next, m.prev = true, nil, l.last
	if l.last != nil {
		l.last.next = m
	} else {
		l.first = m
	}
	l.last = m
	l.count(1)
	if !l.timer.Armed() {
		l.ticked = now
		l.shard.loop.Arm(&l.timer, shapeTick, l)
	}
}

func (l *lane) count(d int64) {
	l.n += d
	l.shape.waiting.Add(d)
}

// leave takes m out of the line.
func (l *lane) leave(m *meter) {
	if m.prev != nil {
		m.prev.next = m.next
	} else {
		l.first = m.next
	}
	if m.next != nil {
		m.next.prev = m.prev
	} else {
		l.last = m.prev
	}
	m.queued, m.next, m.prev = false, nil, nil
	l.count(-1)
}

// Expire implements [loop.Expirer]: a tick of the lane. Each direction of the line
// gets at most one turn.
func (l *lane) Expire(*loop.Timer) {
	now := l.shard.server.clock()
	left, turns := l.budget(now), l.n
	portion := int64(minPortion)
	if turns > 0 {
		portion = max(portion, left/turns)
	}
	l.ticked = now
	for ; turns > 0 && left > 0 && l.first != nil; turns-- {
		m := l.first
		l.leave(m)
		m.portion = min(portion, left)
		before := m.dir.bytes
		m.run()
		left -= int64(m.dir.bytes - before)
	}
	if l.n > 0 {
		l.shard.loop.Arm(&l.timer, shapeTick, l)
	}
}

// budget is what the lane may give now: of what came since its last tick the part
// that its directions are of all that wait, and never more than there is.
func (l *lane) budget(now time.Duration) int64 {
	all := max(l.shape.waiting.Load(), l.n)
	there := l.shape.bucket.Available(now, shapeWindow)
	rate := l.shape.bucket.Rate()
	if all <= l.n || there <= 0 || rate <= 0 {
		return there
	}
	since := min(now-l.ticked, shapeWindow)
	came := float64(rate) * since.Seconds()
	return min(there, int64(came*float64(l.n)/float64(all))+1)
}

// run is a turn of m. A panic closes its session, and the lane goes on.
func (m *meter) run() {
	defer m.session.shard.loop.Recovered(m)
	defer func() { m.portion = 0 }()
	m.resume()
}

// Abort implements [loop.Aborter]. Nothing on the way here panics but a session,
// which is recovered on its own.
func (l *lane) Abort() {
	if l.n > 0 {
		l.shard.loop.Arm(&l.timer, shapeTick, l)
	}
}
