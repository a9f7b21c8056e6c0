package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// reloadTimeout bounds a reload that nobody waits for.
const reloadTimeout = time.Minute

// Run starts an engine, calls started and serves until a signal ends it; it returns
// when everything is closed:
//
//	SIGTERM  drain for at most process.drain_timeout, then close what is left
//	SIGINT   stop at once, also in the middle of a drain
//	SIGHUP   reload; without a file, as when a terminal is closed, a SIGTERM
//	SIGUSR1  reopen the access log
//
// The end of ctx is a SIGINT. A SIGTERM or SIGINT during the start gives it up; other
// signals are served after it. SIGHUPs that come faster than reloads end count as
// one. The error is that of Start; what a stop could not finish in time is logged.
func Run(ctx context.Context, o Options, started func(*Engine)) error {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGUSR1)
	defer signal.Stop(signals)
	// The runtime would end the process for a log line that nobody reads any more.
	signal.Ignore(unix.SIGPIPE)
	defer signal.Reset(unix.SIGPIPE)
	// Such a signal also waits in signals, for a start that was done all the same.
	starting, begun := signal.NotifyContext(ctx, unix.SIGTERM, unix.SIGINT)
	e, err := Start(starting, o)
	given := starting.Err() != nil && errors.Is(err, context.Canceled)
	begun()
	if given {
		return nil
	}
	if err != nil {
		return err
	}
	started(e)
	e.tell(e.notify.ready(e.summary()))
	e.serve(ctx, signals)
	e.out.flush()
	return nil
}

// serve handles signals until the engine has stopped.
func (e *Engine) serve(ctx context.Context, signals <-chan os.Signal) {
	var reloads sync.WaitGroup
	var asked atomic.Bool // a reload waits for its turn
	defer reloads.Wait()  // a stop has ended or refused them
	quick, stopNow := context.WithCancel(context.Background())
	defer stopNow()
	stopped := make(chan struct{})
	draining := false
	drain := func() {
		if draining {
			return
		}
		draining = true
		go func() {
			defer close(stopped)
			if err := e.guarded("stop", func() error { return e.stopWithin(quick) }); err != nil {
				e.log.Warn("stopped before everything was finished", "error", err)
			}
		}()
	}
	interrupted := ctx.Done()
	for {
		select {
		case <-interrupted:
			interrupted = nil
			stopNow()
			drain()
		case <-stopped:
			return
		case s := <-signals:
			switch s {
			case unix.SIGTERM:
				drain()
			case unix.SIGINT:
				stopNow()
				drain()
			case unix.SIGHUP:
				if e.opts.File == "" {
					drain()
					continue
				}
				if !asked.Swap(true) { // else the one that waits reads the file later than now
					reloads.Go(func() { e.reloadOnSignal(&asked) })
				}
			case unix.SIGUSR1:
				e.reopen()
			}
		}
	}
}

// stopWithin stops with the configured deadline, or at once when ctx ends.
func (e *Engine) stopWithin(ctx context.Context) error {
	limit := e.Running().Config.Process.DrainTimeout
	deadline, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("drain_timeout of %s is over", limit))
	defer cancel()
	return e.Stop(deadline)
}

// reloadOnSignal runs beside the signals, so that a SIGTERM does not wait for a
// name server.
func (e *Engine) reloadOnSignal(asked *atomic.Bool) {
	ctx, cancel := context.WithTimeout(context.Background(), reloadTimeout)
	defer cancel()
	begun := false
	_, err := e.reloadInTurn(ctx, func() {
		begun = true
		asked.Store(false)
	})
	if !begun { // else the reload itself has logged what was wrong
		asked.Store(false)
		e.tell(err)
	}
}

func (e *Engine) reopen() {
	if err := e.access.Reopen(); err != nil {
		e.log.Error("cannot reopen the access log, the old file stays in use", "error", err)
		return
	}
	e.log.Info("access log reopened")
}
