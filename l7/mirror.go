package l7

import (
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"weir/conf"
	"weir/l7/message"
	"weir/l7/upstream"
	"weir/pool/backend"
	"weir/pool/metric"
)

// mirror is a compiled [l7.route.mirror] with the number of its copies under way.
type mirror struct {
	conf    *conf.Mirror
	group   *backend.Group
	hashKey hashKey
	pending atomic.Int64
	kept    atomic.Int64 // octets of bodies, of copies under way and to come

	sent, failed, leftOut *metric.Counter
}

func (s *Server) newMirror(
	c *conf.Mirror, pools []conf.Pool, groups func(string) *backend.Group,
) (*mirror, error) {
	g, at := groups(c.Pool), slices.IndexFunc(pools, func(p conf.Pool) bool { return p.Name == c.Pool })
	if g == nil || at < 0 {
		return nil, fmt.Errorf("cannot find pool %q to mirror to", c.Pool)
	}
	m := s.metrics
	return &mirror{
		conf: c, group: g, hashKey: newHashKey(&pools[at]),
		sent:    m.Counter(metric.L7Mirrored, c.Pool, "sent"),
		failed:  m.Counter(metric.L7Mirrored, c.Pool, "failed"),
		leftOut: m.Counter(metric.L7Mirrored, c.Pool, "left_out"),
	}, nil
}

// copied is a request that is kept for a mirror while it goes to its own backend.
// Once the exchange is over it belongs to the goroutine that sends it.
type copied struct {
	m     *mirror
	proxy []byte // introduces the client; nil: the pool does not want it
	head  []byte
	body  []byte
	skip  bool // the body is longer than what is kept, or there is no room for it
	done  bool // all of the body was seen

	method  string
	framing message.Framing
	hash    uint64
}

// beginMirror decides whether the request is mirrored. Its body is kept as it
// passes by: nothing is read for the mirror's sake.
func (x *exchange) beginMirror(m *mirror) {
	if !drawn(m.conf.Percent) {
		return
	}
	if !x.isMirrored(m) {
		m.leftOut.Inc()
		return
	}
	x.acted.mirrored = &copied{m: m, done: !x.req.HasBody()}
}

// isMirrored reports whether the request is one that can be copied, as far as its head
// tells.
func (x *exchange) isMirrored(m *mirror) bool {
	r := &x.req
	return !r.WebSocket && r.ContentLength <= int64(m.conf.MaxBody) && (!r.HasBody() || m.conf.MaxBody > 0) &&
		(r.Authority != nil || !x.route.conf.RewriteHost.IsZero())
}

// reserve makes sure that n more octets may be kept: no more than as if all copies that
// may be under way had the longest of bodies.
func (m *mirror) reserve(n int) bool {
	if m.kept.Add(int64(n)) > int64(m.conf.MaxBody)*int64(m.conf.MaxPending) {
		m.kept.Add(int64(-n))
		return false
	}
	return true
}

// restart forgets the body: it is sent from its beginning once more.
func (c *copied) restart() {
	if c != nil {
		c.forget()
		c.skip, c.done = false, false
	}
}

// forget gives back what the body takes.
func (c *copied) forget() {
	c.m.kept.Add(-int64(len(c.body)))
	c.body = nil
}

// keep adds a piece of the body.
func (c *copied) keep(p []byte, last bool) {
	if c == nil || c.skip {
		return
	}
	if int64(len(c.body)+len(p)) > int64(c.m.conf.MaxBody) || !c.m.reserve(len(p)) {
		c.forget()
		c.skip = true
		return
	}
	c.body, c.done = append(c.body, p...), last
}

// mirror hands the copy over once the client has its answer. It never waits.
func (x *exchange) mirror() {
	c := x.acted.mirrored
	x.acted.mirrored = nil
	if c == nil {
		return
	}
	m := c.m
	if c.skip || !c.done {
		c.leaveOut()
		return
	}
	if m.pending.Add(1) > int64(m.conf.MaxPending) {
		m.pending.Add(-1)
		c.leaveOut()
		return
	}
	r := &x.req
	c.head = x.appendRequestHead(make([]byte, 0, x.headSize()))
	c.method, c.framing = string(r.Method), r.Framing
	c.hash, _ = x.hash(&m.hashKey)
	if version := m.group.Conf().ProxyProtocol; version != "off" && version != "" {
		c.proxy = x.introduction(version)
	}
	if !x.s.mirrors.start(x.s, c) {
		m.pending.Add(-1)
		c.leaveOut()
	}
}

func (c *copied) leaveOut() {
	c.forget()
	c.m.leftOut.Inc()
}

// mirrors are the copies under way in a server.
type mirrors struct {
	wg     sync.WaitGroup
	mu     sync.Mutex
	conns  map[*upstream.Conn]struct{} // guarded by mu; those that may be aborted
	closed bool                        // guarded by mu
}

// start sends a copy in a goroutine of its own, false when the server is closed.
func (ms *mirrors) start(s *Server, c *copied) bool {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	if ms.closed {
		return false
	}
	ms.wg.Add(1)
	go ms.run(s, c)
	return true
}

// close ends all copies and returns when their goroutines have ended.
func (ms *mirrors) close() {
	ms.mu.Lock()
	ms.closed = true
	for up := range ms.conns {
		up.Abort()
	}
	ms.mu.Unlock()
	ms.wg.Wait()
}

// lend notes a connection that may be aborted until it is given back.
func (ms *mirrors) lend(up *upstream.Conn) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	if ms.conns == nil {
		ms.conns = make(map[*upstream.Conn]struct{})
	}
	ms.conns[up] = struct{}{}
	if ms.closed {
		up.Abort()
	}
}

// giveBack ends the use of a connection: it cannot be aborted any more.
func (ms *mirrors) giveBack(up *upstream.Conn) {
	ms.mu.Lock()
	delete(ms.conns, up)
	ms.mu.Unlock()
	up.Release()
}

// abort ends what a connection is used for, unless it was given back.
func (ms *mirrors) abort(up *upstream.Conn) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	if _, ok := ms.conns[up]; ok {
		up.Abort()
	}
}

// run is the goroutine of a copy.
func (ms *mirrors) run(s *Server, c *copied) {
	defer ms.wg.Done()
	defer c.m.pending.Add(-1)
	defer c.forget()
	result := c.m.failed
	defer func() {
		if p := recover(); p != nil {
			s.panicked("mirror", p)
		}
		result.Inc()
	}()
	if err := ms.send(s, c); err != nil {
		s.log.Debug("mirrored request failed", "pool", c.m.conf.Pool, "err", err)
		return
	}
	result = c.m.sent
}

// maxMirrorAnswer is how much of an answer is read and dropped to keep the
// connection; a longer one is cut off.
const maxMirrorAnswer = 1 << 20

// send sends the copy to one member, and drops what comes back.
func (ms *mirrors) send(s *Server, c *copied) error {
	var q backend.Query
	q.Reset(c.hash)
	member, err := c.m.group.Pick(&q)
	if err != nil {
		return err
	}
	defer member.Done()
	up, _, err := s.transport.GetBy(member, upstream.How{Header: c.proxy, Limit: c.m.conf.Timeout})
	if err != nil {
		return err
	}
	ms.lend(up)
	defer ms.giveBack(up)
	limit := time.AfterFunc(c.m.conf.Timeout, func() { ms.abort(up) })
	defer limit.Stop()
	up.SetHead(append(up.Head(len(c.head)), c.head...), c.framing, int64(len(c.body)))
	if len(c.body) > 0 {
		err = up.WriteBody(c.body, true)
	} else {
		err = up.EndBody(nil)
	}
	if err != nil {
		return err
	}
	var res message.Response
	for {
		if err := up.ReadHead(&res, []byte(c.method)); err != nil {
			return err
		}
		if !res.IsInterim() {
			break
		}
	}
	for n := 0; n < maxMirrorAnswer; {
		p, err := up.ReadBody()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		n += len(p)
	}
	return nil
}
