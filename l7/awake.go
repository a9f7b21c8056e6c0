package l7

import (
	"sync"
	"sync/atomic"
)

// awakeShards is how many parts the book of served connections has, so that who walks
// through all of it holds up only one connection in so many. A power of two.
const awakeShards = 64

// awake holds the connections that have a goroutine. The zero value is empty.
type awake struct {
	next   atomic.Uint32
	n      atomic.Int64 // in all shards
	shards [awakeShards]awakeShard
	closed atomic.Bool // none is taken any more
}

type awakeShard struct {
	mu    sync.Mutex
	conns map[*conn]struct{} // guarded by mu
	_     [48]byte           // no two shards in one cache line
}

// add takes c in; false when the book is closed.
func (a *awake) add(c *conn) bool {
	c.shard = uint8(a.next.Add(1) % awakeShards)
	sh := &a.shards[c.shard]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if a.closed.Load() {
		return false
	}
	if sh.conns == nil {
		sh.conns = make(map[*conn]struct{})
	}
	sh.conns[c] = struct{}{}
	a.n.Add(1)
	return true
}

// remove takes c out again; if it is not in, it does nothing.
func (a *awake) remove(c *conn) {
	sh := &a.shards[c.shard]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if _, in := sh.conns[c]; in {
		delete(sh.conns, c)
		a.n.Add(-1)
	}
}

// count is how many there are.
func (a *awake) count() int64 { return a.n.Load() }

// IsStill reports whether no goroutine serves a connection. While that is so, the next to
// do something is a loop. Any goroutine may ask.
func (s *Server) IsStill() bool { return s.awake.count() == 0 }

// each calls visit for every connection, which stays in the book meanwhile. visit must
// neither block nor call add or remove.
func (a *awake) each(visit func(*conn)) {
	for i := range a.shards {
		a.shards[i].each(visit)
	}
}

func (sh *awakeShard) each(visit func(*conn)) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for c := range sh.conns {
		visit(c)
	}
}

// close ends add for good. What was added before is seen by an each that follows.
func (a *awake) close() { a.closed.Store(true) }

func (a *awake) isClosed() bool { return a.closed.Load() }
