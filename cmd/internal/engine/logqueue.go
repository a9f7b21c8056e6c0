package engine

import (
	"io"
	"log/slog"
	"sync"
	"time"

	"weir/pool/metric"
)

const (
	// maxLogWaiting is how many bytes of the process log may wait for its reader.
	maxLogWaiting = 256 << 10
	// logPatience is how long a stop waits for a reader that does not read.
	logPatience = time.Second
)

// logQueue is the writer of the process log. Lines are logged on event loops, under
// locks and in the middle of a stop, none of which may wait for a full disk or
// for a pipe that nobody reads: Write only queues, and what does not fit is dropped
// and counted. A goroutine writes as long as something waits, and ends then.
type logQueue struct {
	w       io.Writer
	log     *slog.Logger // tells how much was lost; set before the first Write
	dropped *metric.Counter

	mu      sync.Mutex
	waiting []byte
	lost    uint64        // lines since the last one that was written
	idle    chan struct{} // closed when everything is written; nil when it is
}

// newLogQueue makes a queue in front of w. log must be set before it is used.
func newLogQueue(w io.Writer) *logQueue {
	return &logQueue{w: w, dropped: new(metric.Counter)}
}

// show counts dropped lines in r as well.
func (q *logQueue) show(r *metric.Registry) {
	r.CounterFunc(metric.LogDropped, q.dropped.Load)
}

// Write queues p, whole lines. It never blocks and never fails.
func (q *logQueue) Write(p []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting)+len(p) > maxLogWaiting {
		q.lost++
		q.dropped.Inc()
		return len(p), nil
	}
	q.waiting = append(q.waiting, p...)
	if q.idle == nil {
		q.idle = make(chan struct{})
		go q.run(q.idle)
	}
	return len(p), nil
}

// run writes until nothing waits.
func (q *logQueue) run(idle chan struct{}) {
	defer close(idle)
	var batch []byte
	for {
		q.mu.Lock()
		batch, q.waiting = q.waiting, batch[:0]
		lost := q.lost
		q.lost = 0
		if len(batch) == 0 && lost == 0 {
			q.waiting, q.idle = nil, nil
			q.mu.Unlock()
			return
		}
		q.mu.Unlock()
		q.write(batch)
		if lost > 0 {
			q.log.Warn("lines of the process log were dropped, its reader is too slow", "lines", lost)
		}
	}
}

// write passes a batch on. There is no better place to tell of an error, or of a
// panic of the writer, than the log itself, which has just failed.
func (q *logQueue) write(batch []byte) {
	defer func() { _ = recover() }()
	_, _ = q.w.Write(batch)
}

// flush waits until everything that was queued before is written, or for as long
// as logPatience.
func (q *logQueue) flush() {
	q.mu.Lock()
	idle := q.idle
	q.mu.Unlock()
	if idle == nil {
		return
	}
	timer := time.NewTimer(logPatience)
	defer timer.Stop()
	select {
	case <-idle:
	case <-timer.C:
	}
}
