package compress

import (
	"sync"
	"sync/atomic"

	"weir/pool"
)

// Encoders lends encoders within a budget of memory. Its methods may be called from
// any goroutine.
//
// Encoders that came back are kept for the next to ask, until the garbage collector
// has passed twice: idle ones hold at most what was lent at one time.
type Encoders struct {
	budget  atomic.Int64
	used    atomic.Int64
	classes [numCodings][maxLevel + 1]class
}

// class is the encoders of one coding and level, which can stand in for one another.
type class struct {
	of     *Encoders
	coding Coding
	level  int
	cost   int64
	idle   sync.Pool // of *Encoder

	dictionary *Dictionary // nil: none
}

// NewEncoders makes a lender with the given budget in bytes.
func NewEncoders(budget int64) *Encoders {
	e := new(Encoders)
	e.budget.Store(budget)
	for _, c := range [...]Coding{Gzip, Brotli, Zstd} {
		for level := range e.classes[c] {
			k := &e.classes[c][level]
			k.of, k.coding, k.level, k.cost = e, c, level, costOf(c, level)
		}
	}
	return e
}

// SetBudget changes the budget; what is lent stays lent.
func (e *Encoders) SetBudget(bytes int64) { e.budget.Store(bytes) }

// Used returns the bytes that lent encoders hold, by what they were measured to.
func (e *Encoders) Used() int64 { return e.used.Load() }

// Get lends an encoder that writes to sink, or returns nil where the budget is used
// up. length is that of the body, -1 where it is not known; it is a hint. The caller
// releases the encoder.
func (e *Encoders) Get(c Coding, level int, length int64, sink Sink) *Encoder {
	return e.lend(&e.classes[c][level], length, sink)
}

// Reserve counts memory of the caller's own in the budget, until Free; false: there is
// none left.
func (e *Encoders) Reserve(bytes int64) bool {
	if e.used.Add(bytes) > e.budget.Load() {
		e.used.Add(-bytes)
		return false
	}
	return true
}

// Free is the end of Reserve.
func (e *Encoders) Free(bytes int64) { e.used.Add(-bytes) }

func (e *Encoders) lend(k *class, length int64, sink Sink) *Encoder {
	if e.used.Add(k.cost) > e.budget.Load() {
		e.used.Add(-k.cost)
		return nil
	}
	enc, _ := k.idle.Get().(*Encoder)
	if enc == nil {
		enc = &Encoder{from: k}
	}
	enc.in, enc.held = 0, false
	enc.out = output{sink: sink, buf: pool.Get(outputBuffer)}
	enc.begin(length)
	return enc
}

// put takes an encoder back. One that panicked inside the library is not used again.
func (k *class) put(enc *Encoder) {
	k.of.used.Add(-k.cost)
	if !enc.within {
		k.idle.Put(enc)
	}
}

// Encode encodes a body that is whole, outside of any budget: it is for what is encoded
// once and kept.
func Encode(c Coding, level int, body []byte) []byte {
	out := new(Gathered)
	e := NewEncoders(1<<63-1).Get(c, level, int64(len(body)), out)
	defer e.Release()
	err := e.Write(body)
	if err == nil {
		err = e.Close()
	}
	if err != nil {
		panic("BUG: compress: cannot encode to memory: " + err.Error())
	}
	return out.Body
}

// Gathered is a sink that keeps what it gets. The zero value is empty.
type Gathered struct{ Body []byte }

// WriteBody implements Sink.
func (g *Gathered) WriteBody(p []byte) error {
	g.Body = append(g.Body, p...)
	return nil
}
