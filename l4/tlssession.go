package l4

import (
	"crypto/tls"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"weir/l4/loop"
	"weir/pool/metric"
)

// secured is the part of a session that goroutines do, because Weir ends the TLS of
// one side or of both and crypto/tls blocks. The session itself stays with its
// loop: it routes, connects, tries the next member, times out, is counted and
// closed as every session is. A secured has the connections and moves the bytes:
//
//	meet the client ──> wait for the loop to connect ──> meet the server ──> relay
//	      (TLS)              next member ^─────────────────── (TLS) ┘
//
// It then tells the loop how that ended and closes the connections as the loop
// says. What it tells is dropped where the session has ended meanwhile.
type secured struct {
	session *session // touched only by what post runs
	shard   *shard
	traffic *counters
	began   time.Time // when the client was accepted

	client  *loop.Conn
	front   *tls.Config // ends the client's TLS; nil: its bytes are taken as they are
	limit   time.Duration
	guarded bool        // the first bytes must not be a PROXY header
	login   *mysqlLogin // MySQL behind TLS that Weir ends; nil: bytes are relayed from the first on

	servers chan offer    // what the loop connected to; holds one
	ended   chan struct{} // closed by stop

	up, down atomic.Uint64 // bytes of plain text, from and to the client
	moved    atomic.Int64  // the last sign of life, since began
	answered atomic.Int64  // the first byte of the backend, since began; 0: none yet
	paceUp   *pacer
	paceDown *pacer
	writing  atomic.Int32 // directions that wait for a peer to take bytes
	broken   atomic.Bool  // the server takes nothing any more
	waiting  atomic.Bool  // for a server: nobody reads from the client

	open []stream // those that were met, to be ended by t.run

	mu      sync.Mutex
	server  *loop.Conn // the present one; guarded by mu
	stopped bool       // guarded by mu
	reset   bool       // how to close; guarded by mu
}

// offer is a connection to a member, fresh from the loop.
type offer struct {
	conn    *loop.Conn
	config  *tls.Config // nil: plain
	asks    bool        // TLS begins with a request for it, as in PostgreSQL
	timeout time.Duration
}

// longAgo is a deadline that wakes whoever waits.
var longAgo = time.Unix(1, 0)

// secure moves the client's connection from the loop to goroutines. What was read
// from it already comes first there. It reports false where the session ended.
func (s *session) secure(front *tls.Config) bool {
	h := loop.Handover{
		FD: s.client.fd, Local: s.shard.loop.LocalAddr(s.client.fd), Remote: s.peer,
		Accepted: s.acceptedAt, Ticket: s.ticket,
	}
	if up := &s.up; up.buf != nil {
		h.Data = append(h.Data, up.buf.B[up.off:up.end]...)
		up.release()
		up.off, up.end = 0, 0
	}
	s.ticket = noTicket
	s.shard.loop.Release(s.client.fd)
	s.client.fd = -1
	client, err := loop.NewConn(h)
	if err != nil {
		s.shard.log.Warn("cannot take connection over", "listener", s.routing.listener.name, "error", err)
		s.close(reasonInternal)
		return false
	}
	t := &secured{
		session: s, shard: s.shard, traffic: s.counters, began: s.acceptedAt,
		client: client, front: front, guarded: s.guarded && front == nil,
		servers: make(chan offer, 1), ended: make(chan struct{}),
	}
	if front != nil {
		t.limit = s.routing.conf.TLS.HandshakeTimeout
		if s.routing.conf.Protocol == "mysql" {
			t.login = &mysqlLogin{most: int(s.routing.conf.SniffMax)}
		}
	}
	s.pace(t)
	s.tls = t
	s.shard.server.secured.Go(t.run)
	return true
}

// run is the goroutine of a secured session.
func (t *secured) run() {
	defer t.close()
	t.end(t.recovered(t.serve))
	<-t.ended
}

// serve does everything in order and returns how the session is to end.
func (t *secured) serve() reason {
	client, why := t.meetClient()
	if client == nil {
		return why
	}
	t.open = append(t.open, client)
	done := t.watchClient()
	server, why := t.meetServer()
	done()
	if server == nil {
		return why
	}
	t.open = append(t.open, server)
	return t.relay(client, server)
}

// recovered turns a panic of f into an internal error.
func (t *secured) recovered(f func() reason) (why reason) {
	defer func() {
		if v := recover(); v != nil {
			t.shard.server.metrics.Counter(metric.Panics, "l4").Inc()
			t.shard.log.Error("panic in a TLS session", "panic", v, "stack", string(debug.Stack()))
			why = reasonInternal
		}
	}()
	return f()
}

// post runs f on the loop, unless the session has ended by then.
func (t *secured) post(f func(s *session)) {
	s := t.session
	ok := t.shard.loop.Do(func() {
		if s.tls == t { // else the object may serve another session
			defer t.shard.loop.Recovered(s)
			f(s)
		}
	})
	if !ok {
		t.stop(true)
	}
}

// end asks the loop to close the session.
func (t *secured) end(why reason) { t.post(func(s *session) { s.close(why) }) }

// stop makes the goroutines end and says how the connections are to be closed.
// Bytes that wait to be taken are lost, which the peers must notice. Further calls
// do nothing.
func (t *secured) stop(reset bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stopped {
		return
	}
	t.stopped, t.reset = true, reset || t.writing.Load() > 0
	_ = t.client.SetDeadline(longAgo) // fails only where it is closed
	if t.server != nil {
		_ = t.server.SetDeadline(longAgo)
	}
	close(t.ended)
}

// take makes conn the present server's, nil: there is none.
func (t *secured) take(conn *loop.Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.server = conn
	if conn != nil && t.stopped {
		_ = conn.SetDeadline(longAgo)
	}
}

// deadline bounds what conn may be waited for; 0: no more. It never takes back the
// deadline that stop set.
func (t *secured) deadline(conn *loop.Conn, d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stopped {
		return
	}
	at := time.Time{}
	if d > 0 {
		at = time.Now().Add(d)
	}
	_ = conn.SetDeadline(at)
}

// touch notes a sign of life.
func (t *secured) touch() time.Duration {
	since := time.Since(t.began)
	t.moved.Store(int64(since))
	return since
}

// goodbyeTime bounds how long a peer may take to take a close_notify.
const goodbyeTime = time.Second

// close gives the connections back, in the end. A stream that is not cut gets its
// orderly end, once more where it had one.
func (t *secured) close() {
	t.mu.Lock()
	reset := t.reset
	if !reset {
		at := time.Now().Add(goodbyeTime)
		_ = t.client.SetDeadline(at)
		if t.server != nil {
			_ = t.server.SetDeadline(at)
		}
	}
	t.mu.Unlock()
	for _, s := range t.open {
		if !reset {
			_ = s.CloseWrite()
		}
	}
	shut(t.client, reset)
	shut(t.server, reset)
	select {
	case o := <-t.servers: // came too late
		shut(o.conn, true)
	default:
	}
}

func shut(conn *loop.Conn, reset bool) {
	switch {
	case conn == nil:
	case reset:
		_ = conn.Reset() // whatever it says, the descriptor is gone
	default:
		_ = conn.Close()
	}
}
