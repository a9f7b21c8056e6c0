package accesslog

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"weir/conf"
	"weir/pool"
	"weir/pool/metric"
)

const (
	// batchSize is what the writer takes at one time at the most. One write of
	// this size costs little more than one of 4 KiB.
	batchSize = 64 << 10

	// minBatches lets one batch fill while another is being written.
	minBatches = 2

	// flushEvery bounds how long a line waits for a batch to fill.
	flushEvery = time.Second

	// closeTimeout bounds how long Close waits for a target that takes nothing.
	closeTimeout = 2 * time.Second
)

// Log is an access log. Its methods may be called from any number of goroutines;
// none but Close waits for the target. A nil *Log is one that is off.
type Log struct {
	path   string // as configured
	json   bool
	query  bool
	client clientIP
	log    *slog.Logger

	lines, dropped, errors, panics *metric.Counter

	mu         sync.Mutex
	cur        batch   // being filled; cur.buf is nil when nothing waits
	full       []batch // complete ones, the oldest first
	batches    int     // of all: filling, full, and with the writer
	maxBatches int
	pending    int // bytes in all of them
	closed     bool
	next       *target // set by Reopen for the writer to take over

	begun    chan struct{} // capacity 1: a batch has its first line
	wake     chan struct{} // capacity 1: there is something to write, or another target
	closing  chan struct{}
	done     chan struct{} // the writer has ended
	deadline atomic.Int64  // unix nanoseconds; 0 until Close sets when the writer gives up
	lost     atomic.Int64  // bytes that the writer gave up on
}

// batch is a number of whole lines.
type batch struct {
	buf   *pool.Buffer
	n     int // bytes
	lines int
}

// Open opens the access log that c describes and starts its writer. With the path
// "off" it returns a log that is not Enabled and ignores all calls. log hears of
// write errors, once when they begin and once when they end.
func Open(c conf.AccessLog, reg *metric.Registry, log *slog.Logger) (*Log, error) {
	if c.Path == "off" || c.Path == "" {
		return nil, nil
	}
	t, err := openTarget(c.Path)
	if err != nil {
		return nil, err
	}
	return startLog(c, reg, log, t), nil
}

// startLog returns a log with a writer that writes to t.
func startLog(c conf.AccessLog, reg *metric.Registry, log *slog.Logger, t *target) *Log {
	l := newLog(c, reg, log)
	w := &writer{log: l, target: t, hand: make([]batch, 0, l.maxBatches)}
	go w.run()
	return l
}

// newLog returns a log without a writer.
func newLog(c conf.AccessLog, reg *metric.Registry, log *slog.Logger) *Log {
	l := &Log{
		path:       c.Path,
		json:       c.Format != "logfmt",
		query:      c.Query,
		log:        log,
		lines:      reg.Counter(metric.AccessLogLines),
		dropped:    reg.Counter(metric.AccessLogDropped),
		errors:     reg.Counter(metric.AccessLogErrors),
		panics:     reg.Counter(metric.Panics, "accesslog"),
		maxBatches: max(minBatches, int((int64(c.Buffer)+batchSize-1)/batchSize)),
		begun:      make(chan struct{}, 1),
		wake:       make(chan struct{}, 1),
		closing:    make(chan struct{}),
		done:       make(chan struct{}),
	}
	switch c.ClientIP {
	case "masked":
		l.client = clientMasked
	case "none":
		l.client = clientNone
	}
	l.full = make([]batch, 0, l.maxBatches)
	reg.GaugeFunc(metric.AccessLogPending, l.pendingBytes)
	return l
}

// Enabled reports whether lines are written. Where it is false, a caller may
// spare the work of filling a record.
func (l *Log) Enabled() bool { return l != nil }

// L7 logs an exchange. It never waits for the target and does not keep r.
func (l *Log) L7(r *L7Record) {
	if l == nil {
		return
	}
	buf := pool.Get(r.bound())
	e := l.encoder(buf)
	e.l7(r)
	l.append(e.b)
	buf.Release()
}

// L4 logs a session. It never waits for the target and does not keep r.
func (l *Log) L4(r *L4Record) {
	if l == nil {
		return
	}
	buf := pool.Get(r.bound())
	e := l.encoder(buf)
	e.l4(r)
	l.append(e.b)
	buf.Release()
}

func (l *Log) encoder(buf *pool.Buffer) encoder {
	return encoder{b: buf.B[:0], json: l.json, query: l.query, client: l.client}
}

// append adds a line to the batch, or drops it when the batches are at their bound.
func (l *Log) append(line []byte) {
	l.mu.Lock()
	ok := l.room(len(line))
	if ok {
		copy(l.cur.buf.B[l.cur.n:], line)
		l.cur.n += len(line)
		l.cur.lines++
		l.pending += len(line)
	}
	l.mu.Unlock()
	if !ok {
		l.dropped.Inc()
	}
}

// room makes l.cur a batch with room for n bytes and reports whether it could.
// The caller holds l.mu.
func (l *Log) room(n int) bool {
	if l.closed || n > batchSize {
		return false
	}
	if l.cur.buf != nil && batchSize-l.cur.n >= n {
		return true
	}
	if l.batches >= l.maxBatches {
		return false
	}
	if l.cur.buf != nil {
		l.full = append(l.full, l.cur)
		tell(l.wake)
	}
	l.cur = batch{buf: pool.Get(batchSize)}
	l.batches++
	tell(l.begun)
	return true
}

// tell tells the writer something, unless it is told already.
func tell(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (l *Log) pendingBytes() float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return float64(l.pending)
}

// Reopen opens the path again, for a file that was renamed by a log rotation.
// What is logged after it returns goes to the new file, and so does what waits
// in the batches. When the path cannot be opened, the old file stays in use. It
// does nothing for stdout and stderr.
func (l *Log) Reopen() error {
	if l == nil || l.path == "stdout" || l.path == "stderr" {
		return nil
	}
	t, err := openTarget(l.path)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		t.close()
		return nil
	}
	if l.next != nil {
		l.next.close() // two in a row, and the writer has not even seen the first
	}
	l.next = t
	tell(l.wake) // the old file may be deleted, and is to give back its room on the disk
	return nil
}

// Close writes what waits and stops the writer. It returns after a few seconds at
// most: lines that the target did not take by then are dropped, counted and
// reported as an error. Later calls of L4 and L7 drop their lines.
func (l *Log) Close() error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	if !l.closed {
		l.closed = true
		l.deadline.Store(time.Now().Add(closeTimeout).UnixNano())
		close(l.closing)
	}
	l.mu.Unlock()
	// The writer gives up by itself where the target can be polled. A file on a
	// dead network disk cannot: then the goroutine is left behind, since no
	// system call could end its write.
	timer := time.NewTimer(closeTimeout + 4*pollStep)
	defer timer.Stop()
	select {
	case <-l.done:
	case <-timer.C:
	}
	l.mu.Lock()
	lost := l.lost.Load() + int64(l.pending)
	l.mu.Unlock()
	if lost > 0 {
		return fmt.Errorf("cannot write the end of access log %q: %d bytes were not taken within %s",
			l.path, lost, closeTimeout)
	}
	return nil
}
