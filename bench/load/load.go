// Package load generates load and says honestly what it measured.
//
// A [Plan] says what each connection does ([Workload]), how many there are and for
// how long. [Run] carries it out and returns a [Result]. Raw TCP, UDP and
// plain HTTP/1.1 run on event loops (worker, conn and a wire for each protocol) and
// allocate nothing per request; what needs TLS or a conversation runs on
// goroutines (crew, session).
//
// In a closed loop each connection sends when its last request was answered: this
// finds the greatest throughput, and hides a stall, since a server that stalls is
// asked less. In an open loop requests are due at a rate whatever the server does,
// and latency counts from when a request was due. How late the generator itself
// was, and how much CPU it took, is measured too: a run that it has bounded is not
// valid.
package load

import (
	"context"
	"fmt"
	"time"
)

// engine drives connections: a worker or a crew.
type engine interface {
	open()           // begin to connect
	start(time.Time) // begin to send; the argument is the start of the run
	stop()           // end the run at once; any number of times
	close()          // free everything; after it nothing of the engine is left
	signals() (ready, done <-chan struct{})
	records() *recorder // after done
}

func (w *worker) signals() (ready, done <-chan struct{}) { return w.ready, w.done }
func (w *worker) records() *recorder                     { return w.rec }
func (c *crew) signals() (ready, done <-chan struct{})   { return c.ready, c.done }
func (c *crew) records() *recorder                       { return c.rec }

// Run carries out a plan and blocks until it has ended: Warmup and Duration, or
// until ctx ends, and up to 5 s more for requests that are under way. A Result
// that is not valid says why; an error means that there is nothing to report.
func Run(ctx context.Context, p Plan) (*Result, error) {
	if err := p.Validate(); err != nil {
		return nil, fmt.Errorf("cannot run: %w", err)
	}
	p = p.withDefaults()
	j, err := newJob(ctx, &p)
	if err != nil {
		return nil, err
	}
	engines, err := newEngines(&p, j)
	if err != nil {
		return nil, fmt.Errorf("cannot start the generator: %w", err)
	}
	r := &run{plan: &p, job: j, engines: engines}
	defer func() {
		for _, e := range engines {
			e.stop()
			e.close()
		}
	}()
	return r.do(ctx)
}

func newEngines(p *Plan, j *job) ([]engine, error) {
	if !p.onLoop() {
		return []engine{newCrew(p, j)}, nil
	}
	engines := make([]engine, 0, p.Loops)
	for i := range p.Loops {
		w, err := newWorker(p, j, i, p.Loops, int(share(int64(p.Conns), i, p.Loops)))
		if err != nil {
			for _, e := range engines {
				e.close()
			}
			return nil, err
		}
		engines = append(engines, w)
	}
	return engines, nil
}

// A run is a plan while it is carried out.
type run struct {
	plan    *Plan
	job     *job
	engines []engine
	targets []int

	epoch       time.Time
	began       usage // at the beginning of the window
	ended       usage // at its end
	interrupted bool
}

func (r *run) do(ctx context.Context) (*Result, error) {
	for _, e := range r.engines {
		e.open()
	}
	for _, e := range r.engines {
		ready, _ := e.signals()
		select {
		case <-ready:
		case <-ctx.Done():
			return nil, fmt.Errorf("cannot connect to %q: %w", r.plan.Address, ctx.Err())
		}
	}
	if r.targets = r.plan.Targets; len(r.targets) == 0 {
		r.targets = listeners(r.job.sockaddr, r.plan.Kind == UDP)
	}
	r.epoch = time.Now()
	for _, e := range r.engines {
		e.start(r.epoch)
	}
	r.sleep(ctx, r.plan.Warmup)
	r.began = measure(r.targets)
	r.sleep(ctx, r.plan.Warmup+r.plan.Duration)
	r.ended = measure(r.targets)
	r.finish(ctx)
	return r.report(), nil
}

// sleep waits for a time of the run, or for an earlier end.
func (r *run) sleep(ctx context.Context, until time.Duration) {
	t := time.NewTimer(time.Until(r.epoch.Add(until)))
	defer t.Stop()
	for _, e := range r.engines {
		_, done := e.signals()
		select {
		case <-done:
		case <-t.C:
			return
		case <-ctx.Done():
			r.interrupted = true
			return
		}
	}
}

// finish waits for what is under way, and not longer than the plan's grace.
func (r *run) finish(ctx context.Context) {
	t := time.NewTimer(time.Until(r.epoch.Add(r.plan.Warmup + r.plan.Duration + r.plan.grace())))
	defer t.Stop()
	if r.plan.bulk() || r.interrupted {
		r.stop()
	}
	for _, e := range r.engines {
		_, done := e.signals()
		select {
		case <-done:
			continue
		case <-ctx.Done():
			r.interrupted = true
		case <-t.C:
		}
		r.stop()
		<-done
	}
}

func (r *run) stop() {
	for _, e := range r.engines {
		e.stop()
	}
}
