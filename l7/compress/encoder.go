package compress

import (
	"io"

	"weir/pool"
)

// Sink takes the encoded body. What it is given is valid during the call only; its
// error ends the stream and comes back from the call that caused it.
type Sink interface {
	WriteBody(p []byte) error
}

// stream is what the libraries' encoders have in common.
type stream interface {
	io.WriteCloser
	Flush() error
}

// Encoder encodes one body. It is lent by Encoders and belongs to one goroutine. After
// an error only Release may follow, and what the sink got is not a whole stream.
type Encoder struct {
	from   *class
	stream stream
	out    output
	in     uint64
	held   bool // octets went in since the last Flush
	within bool // a call into the library is under way, or panicked
}

// Write encodes a piece of the body, which is not kept. What is made of it goes to the
// sink when there is enough of it, at Flush and at Close.
func (e *Encoder) Write(p []byte) error {
	e.in += uint64(len(p))
	e.held = e.held || len(p) > 0
	e.within = true
	_, err := e.stream.Write(p)
	e.within = false
	return err
}

// Held reports whether Flush would send something: the reader at the other end has not
// got all that was written.
func (e *Encoder) Held() bool { return e.held }

// Flush gives all that was written to the sink, in a form from which it can be decoded
// now. Each costs some octets of the result.
func (e *Encoder) Flush() error {
	if !e.held {
		return nil
	}
	e.held = false
	e.within = true
	err := e.stream.Flush()
	e.within = false
	if err != nil {
		return err
	}
	return e.out.flush()
}

// Close completes the stream and gives all of it to the sink. Call it only where the
// body is complete: it is what tells the reader so.
func (e *Encoder) Close() error {
	e.held = false
	e.within = true
	err := e.stream.Close()
	e.within = false
	if err != nil {
		return err
	}
	return e.out.flush()
}

// Counts returns the octets of the body so far, and those that the sink got.
func (e *Encoder) Counts() (in, out uint64) { return e.in, e.out.bytes }

// Release gives the encoder back, at any time. It must not be used afterwards.
func (e *Encoder) Release() {
	if e.out.buf != nil {
		e.out.buf.Release()
	}
	e.out = output{}
	e.from.put(e)
}

// outputBuffer is how much is gathered before the sink gets it: the libraries write in
// pieces of a few octets.
const outputBuffer = 16 << 10

// output gathers what the library writes.
type output struct {
	sink  Sink
	buf   *pool.Buffer
	n     int
	bytes uint64
}

// Write implements io.Writer for the library.
func (o *output) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		if o.n == len(o.buf.B) {
			if err := o.flush(); err != nil {
				return len(p) - len(rest), err
			}
		}
		n := copy(o.buf.B[o.n:], rest)
		o.n += n
		rest = rest[n:]
	}
	return len(p), nil
}

func (o *output) flush() error {
	if o.n == 0 {
		return nil
	}
	p := o.buf.B[:o.n]
	o.n = 0
	o.bytes += uint64(len(p))
	return o.sink.WriteBody(p)
}
