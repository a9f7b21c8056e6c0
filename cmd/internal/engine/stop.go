package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Stop ends the engine: from now on it is not ready and refuses reloads. It stops
// accepting, lets connections finish until ctx ends, closes what is left and then
// all its parts. The error tells what did not finish in time. A second call waits
// for the first and returns nil.
func (e *Engine) Stop(ctx context.Context) error {
	first := phase(e.phase.Swap(int32(stopping))) != stopping
	if first {
		e.quit()
	}
	<-e.turn // a reload in progress ends first
	defer func() { e.turn <- struct{}{} }()
	if !first {
		return nil
	}
	e.tell(e.notify.stopping("draining"))
	e.log.Info("stopping", "connections", e.conns.Count())
	err := e.drain(ctx)
	e.dismantle(ctx)
	e.log.Info("stopped")
	e.out.flush()
	return err
}

// drain lets L4 sessions and L7 connections finish side by side. L4 hands over what
// it has still to sniff, to an L7 that may be done by then: so L7 has the last turn.
func (e *Engine) drain(ctx context.Context) error {
	e.l4.StopAccepting()
	var e4, e7, last error
	drainL7 := func() error { return e.l7.Drain(ctx) }
	var wg sync.WaitGroup
	wg.Go(func() { e4 = e.guarded("drain of L4", func() error { return e.l4.Drain(ctx) }) })
	wg.Go(func() { e7 = e.guarded("drain of L7", drainL7) })
	wg.Wait()
	if e7 == nil {
		last = e.guarded("drain of L7", drainL7)
	}
	return errors.Join(e4, e7, last)
}

// guarded turns a panic of work into an error: a bug there must not end the
// process that carries the traffic.
func (e *Engine) guarded(what string, work func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			e.panicked(what, p)
			err = fmt.Errorf("cannot finish the %s: internal error: %v", what, p)
		}
	}()
	return work()
}
