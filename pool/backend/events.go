package backend

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"
)

// maxEvents is how many log records may wait for the log. Beyond it they are
// dropped and counted: every event is in the metrics and the status as well.
const maxEvents = 256

// closeLogWait is how long Close waits for a log that does not take records.
const closeLogWait = time.Second

// events writes log records from a goroutine of its own. Events happen on event
// loops and under locks, where a log that blocks (a full disk, a pipe that no one
// reads) must not hold anyone up.
type events struct {
	log     *slog.Logger
	queue   chan slog.Record
	dropped atomic.Uint64
	done    chan struct{}
}

func newEvents(log *slog.Logger) *events {
	return &events{log: log, queue: make(chan slog.Record, maxEvents), done: make(chan struct{})}
}

// add queues a record with key-value pairs as slog takes them. It never blocks.
func (v *events) add(level slog.Level, message string, args ...any) {
	if !v.log.Enabled(context.Background(), level) {
		return
	}
	r := slog.NewRecord(time.Now(), level, message, 0)
	r.Add(args...)
	select {
	case v.queue <- r:
	default:
		v.dropped.Add(1)
	}
}

// write passes queued records on until stop is closed, and then the rest.
func (v *events) write(stop <-chan struct{}) {
	defer close(v.done)
	for {
		select {
		case r := <-v.queue:
			v.handle(r)
			continue
		case <-stop:
		}
		select {
		case r := <-v.queue:
			v.handle(r)
		default:
			return
		}
	}
}

// handle gives one record to the log. An error has no better place to go than the
// log that made it.
func (v *events) handle(r slog.Record) {
	defer func() {
		if recover() != nil {
			v.dropped.Add(1) // a log that panics must not end the process
		}
	}()
	_ = v.log.Handler().Handle(context.Background(), r)
	if n := v.dropped.Swap(0); n > 0 {
		v.log.Warn("backend events were not logged, the log was too slow", "count", n)
	}
}

// close waits for the rest to be written; not for ever, as the log may hang.
func (v *events) close() {
	timer := time.NewTimer(closeLogWait)
	defer timer.Stop()
	select {
	case <-v.done:
	case <-timer.C:
	}
}
