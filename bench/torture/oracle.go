package torture

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// A class is what became of one request, as its client saw it.
type class uint8

const (
	right   class = iota // the whole answer, byte for byte
	refused              // another answer of Weir's: 502, 503, 504 and the like
	broken               // an answer that visibly ended too early, or none
	wrong                // anything that a client could take for right, or must wait for without end
	classes
)

func (c class) String() string { return [...]string{"right", "refused", "broken", "wrong"}[c] }

// maxNotes bounds what is kept of failures that are all alike.
const maxNotes = 20

// oracle gives out the ids of requests and knows what may become of them. Safe for
// concurrent use.
type oracle struct {
	last   atomic.Uint64
	counts [classes]atomic.Int64
	bytes  atomic.Int64 // of right answers

	encrypted atomic.Int64 // TLS connections of HTTP clients
	storms    atomic.Int64 // of connections

	mu     sync.Mutex
	traces map[uint64]*trace
	wrongs int64
	notes  []string
}

// trace is what is known of a request with side effects, or of one whose fate at
// the backend matters.
type trace struct {
	method string
	seen   int  // times that a backend saw its head
	whole  bool // a backend took its body for complete
	cut    bool // its client never sent all of it
	ended  bool // a backend saw its connection end before it answered
}

func newOracle() *oracle { return &oracle{traces: map[uint64]*trace{}} }

// next is the id of a new request.
func (o *oracle) next() uint64 { return o.last.Add(1) }

// of returns the trace of a request. The caller holds mu.
func (o *oracle) of(id uint64) *trace {
	t := o.traces[id]
	if t == nil {
		t = &trace{}
		o.traces[id] = t
	}
	return t
}

// change changes the trace of a request.
func (o *oracle) change(id uint64, f func(*trace)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f(o.of(id))
}

// see notes that a backend got the head of a request, and returns how often one did.
func (o *oracle) see(id uint64, method string) (times int) {
	o.change(id, func(t *trace) { t.method, t.seen = method, t.seen+1; times = t.seen })
	return times
}

// trace returns what is known of a request.
func (o *oracle) trace(id uint64) trace {
	o.mu.Lock()
	defer o.mu.Unlock()
	if t := o.traces[id]; t != nil {
		return *t
	}
	return trace{}
}

// forget drops a request that can do no more harm: one without side effects.
func (o *oracle) forget(id uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.traces, id)
}

// count notes what became of a request.
func (o *oracle) count(c class, n int64) {
	o.counts[c].Add(1)
	if c == right {
		o.bytes.Add(n)
	}
}

// accuse notes something that must never be.
func (o *oracle) accuse(format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.wrongs++
	if len(o.notes) < maxNotes {
		o.notes = append(o.notes, fmt.Sprintf(format, args...))
	}
}

// audit goes through all requests with side effects: none may have run twice, and
// none that was cut may have looked whole.
func (o *oracle) audit() (requests int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	add := func(format string, args ...any) {
		o.wrongs++
		if len(o.notes) < maxNotes {
			o.notes = append(o.notes, fmt.Sprintf(format, args...))
		}
	}
	for id, t := range o.traces {
		if t.method == "GET" || t.method == "" {
			continue
		}
		requests++
		if t.seen > 1 {
			add("%s %d ran %d times", t.method, id, t.seen)
		}
		if t.cut && t.whole {
			add("%s %d was cut short by its client and looked whole to the backend", t.method, id)
		}
	}
	return requests
}
