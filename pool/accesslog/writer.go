package accesslog

import (
	"bytes"
	"errors"
	"runtime/debug"
	"time"
)

// writer is what the goroutine of a Log owns. It ends by Close.
type writer struct {
	log    *Log
	target *target
	hand   []batch // taken from the log
	at     int     // index in hand of the batch being written
	failed bool    // the last write failed, and was reported
}

func (w *writer) run() {
	defer close(w.log.done)
	defer func() { w.target.close() }()
	timer := time.NewTimer(flushEvery)
	defer timer.Stop()
	for {
		last := false
		select {
		case <-w.log.begun: // where no line is written, nobody wakes
			timer.Reset(flushEvery)
			continue
		case <-w.log.wake:
		case <-timer.C:
		case <-w.log.closing:
			last = true
		}
		w.flush()
		if last {
			return
		}
	}
}

// flush writes everything that waits, or drops it once Close has waited long enough.
func (w *writer) flush() {
	defer w.recoverPanic()
	w.take()
	for ; w.at < len(w.hand); w.at++ {
		if w.giveUp(0) {
			w.drop(w.hand[w.at])
		} else {
			w.write(w.hand[w.at])
		}
	}
}

// take moves all batches of the log to the writer's hand, and the new target.
func (w *writer) take() {
	l := w.log
	l.mu.Lock()
	defer l.mu.Unlock()
	// The two slices change places: both have room for all batches there can be.
	w.hand, l.full = l.full, w.hand[:0]
	w.at = 0
	if l.cur.n > 0 {
		w.hand = append(w.hand, l.cur)
		l.cur = batch{}
	}
	if l.next != nil {
		w.target.close()
		w.target, l.next = l.next, nil
	}
}

// write writes one batch and gives its buffer back, whatever happens.
func (w *writer) write(b batch) {
	defer w.release(b)
	n, err := w.target.write(b.buf.B[:b.n], w.giveUp)
	if err == nil {
		w.log.lines.Add(uint64(b.lines))
		if w.failed {
			w.failed = false
			w.log.log.Info("the access log is written again", "path", w.log.path)
		}
		return
	}
	written := bytes.Count(b.buf.B[:n], []byte{'\n'})
	w.log.lines.Add(uint64(written))
	w.log.dropped.Add(uint64(b.lines - written))
	if errors.Is(err, errGaveUp) {
		w.log.lost.Add(int64(b.n - n))
		return
	}
	// What cannot be written is dropped and not kept for another try: a full disk
	// stays full for long, and the newest lines are worth as much as the oldest.
	w.log.errors.Inc()
	w.fail(err)
}

// drop gives a batch up without a try.
func (w *writer) drop(b batch) {
	w.log.dropped.Add(uint64(b.lines))
	w.log.lost.Add(int64(b.n))
	w.release(b)
}

func (w *writer) release(b batch) {
	b.buf.Release()
	w.log.mu.Lock()
	w.log.batches--
	w.log.pending -= b.n
	w.log.mu.Unlock()
}

// giveUp reports whether the time that Close grants is over. It is asked between
// writes and while the target takes nothing.
func (w *writer) giveUp(waited time.Duration) bool {
	if waited >= flushEvery {
		w.fail(errGaveUp)
	}
	d := w.log.deadline.Load()
	return d != 0 && time.Now().UnixNano() > d
}

// fail reports the first of a row of failures.
func (w *writer) fail(err error) {
	if !w.failed {
		w.failed = true
		w.log.log.Warn("cannot write the access log, lines are dropped", "path", w.log.path, "error", err)
	}
}

// recoverPanic keeps the writer alive. The batch that was being written has been
// released and counts as dropped; the ones behind it are dropped here.
func (w *writer) recoverPanic() {
	p := recover()
	if p == nil {
		return
	}
	w.log.panics.Inc()
	w.log.log.Error("panic in the access log", "panic", p, "stack", string(debug.Stack()))
	if w.at < len(w.hand) {
		w.log.dropped.Add(uint64(w.hand[w.at].lines))
	}
	for w.at++; w.at < len(w.hand); w.at++ {
		w.drop(w.hand[w.at])
	}
}
