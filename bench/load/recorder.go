package load

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// failure is why a request did not count as answered; the zero value is none.
type failure uint8

const (
	failNone       failure = iota
	failConnect            // the connection was not made
	failClosed             // the server ended the connection before the response did
	failTimeout            // Plan.Timeout passed
	failStatus             // a status other than the expected one, or an error message
	failLength             // a body of another length than expected or announced
	failData               // bytes other than the expected ones
	failProtocol           // not what the protocol allows
	failLocal              // this machine ran out of something: descriptors, ports, memory
	failUnfinished         // due or under way when the run ended
	failures               // how many there are
)

// maxLatency is the longest time that is told from longer ones.
const maxLatency = 10 * time.Minute

// recorder counts what happens in the window of measurement. A request belongs to
// the window by the time at which it was due, throughput by the time at which
// bytes or answers arrived. Not safe for concurrent use.
type recorder struct {
	from, to time.Duration // the window, in time since the run began

	latency  *hdrhistogram.Histogram // nanoseconds
	lateness *hdrhistogram.Histogram // nanoseconds
	answered int64                   // right responses that ended in the window
	began    int64                   // requests of the window that were begun
	in, out  int64                   // bytes received and sent in the window
	failed   [failures]int64
	opened   int64 // connections made, in the whole run
	first    error // what went wrong first
}

func newRecorder(p *Plan) *recorder {
	return &recorder{
		from: p.Warmup, to: p.Warmup + p.Duration,
		latency:  newHistogram(),
		lateness: newHistogram(),
	}
}

func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, int64(maxLatency), 3)
}

func record(h *hdrhistogram.Histogram, d time.Duration) {
	// Within the bounds of newHistogram, so there is no error.
	_ = h.RecordValue(int64(min(max(d, 1), maxLatency)))
}

// within reports whether t is in the window.
func (r *recorder) within(t time.Duration) bool { return t >= r.from && t < r.to }

// sent notes a request that was due, or in a closed loop begun, at due. late is
// how late it was for want of the generator, not of a free connection; -1 where
// there is no such thing.
func (r *recorder) sent(due, late time.Duration) {
	if r.within(due) {
		r.began++
		if late >= 0 {
			record(r.lateness, late)
		}
	}
}

// done notes the end of a request. Of a failed one only the time is kept that is
// surely a lower bound: leaving it out would make a stall look like no request.
func (r *recorder) done(due, now time.Duration, f failure) {
	if f == failNone && r.within(now) {
		r.answered++
	}
	if !r.within(due) {
		return
	}
	if f == failNone || f == failTimeout || f == failUnfinished {
		record(r.latency, now-due)
	}
	if f != failNone {
		r.failed[f]++
	}
}

// received and wrote count bytes.
func (r *recorder) received(now time.Duration, n int64) {
	if r.within(now) {
		r.in += n
	}
}

func (r *recorder) wrote(now time.Duration, n int64) {
	if r.within(now) {
		r.out += n
	}
}

// explain keeps the first error for the report; errors may be many.
func (r *recorder) explain(err error) {
	if r.first == nil {
		r.first = err
	}
}

// merge adds what o counted.
func (r *recorder) merge(o *recorder) {
	r.latency.Merge(o.latency)
	r.lateness.Merge(o.lateness)
	r.answered += o.answered
	r.began += o.began
	r.in += o.in
	r.out += o.out
	for i, n := range o.failed {
		r.failed[i] += n
	}
	r.opened += o.opened
	if o.first != nil {
		r.explain(o.first)
	}
}
