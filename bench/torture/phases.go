package torture

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// run goes through the phases.
func (s *stage) run(ctx context.Context, r *Report) error {
	var err error
	if r.Before, err = s.settled(ctx); err != nil {
		return err
	}
	s.opts.Progress("calm")
	s.crowd.begin(ctx)
	defer s.crowd.end()
	calm := s.opts.Duration / calmShare
	pause(ctx, calm)
	s.opts.Progress("torture")
	s.crowd.torture.Store(true)
	s.torment(ctx, s.opts.Duration-calm, r)
	if ctx.Err() != nil {
		return fmt.Errorf("interrupted: %w", ctx.Err())
	}
	s.opts.Progress("recovery")
	r.Recovery, err = s.recovery(ctx)
	if err != nil {
		s.oracle.accuse("recovery: %v", err)
	}
	r.Noise = s.crowd.noise()
	s.crowd.end()
	s.opts.Progress("few descriptors, full disk")
	descriptors, disk := s.small(ctx)
	s.row(r, RowReport{
		Row: 25, Fault: "descriptors run out",
		Remark: fmt.Sprintf("%d clients, %d descriptors", smallCrowd, smallDescriptors),
	}, descriptors)
	s.row(r, RowReport{Row: 50, Fault: "the log's disk is full"}, disk)
	s.opts.Progress("end")
	s.finish(ctx, r)
	return nil
}

// row adds a row that was played once.
func (s *stage) row(r *Report, row RowReport, err error) {
	row.add(err, nil)
	r.Rows = append(r.Rows, row)
}

// torment plays all rows, the mob and the reloads at the same time: until the time
// is over, and each row at least once.
func (s *stage) torment(ctx context.Context, d time.Duration, r *Report) {
	played := make(chan struct{})
	riot, end := context.WithCancel(ctx)
	defer end()
	var g sync.WaitGroup
	var re reloads
	g.Go(func() { s.riot(riot) })
	g.Go(func() {
		rng := stream(s.opts.Seed, "reload", 0)
		if err := safely(func() error { re = s.reloader(riot, rng); return nil }); err != nil {
			re.failures = append(re.failures, err.Error())
		}
	})
	g.Go(func() {
		defer close(played)
		r.Rows = append(r.Rows, s.perform(ctx, time.Now().Add(d))...)
	})
	<-played
	end()
	g.Wait()
	r.Rows = append(r.Rows, re.row())
}

func (re *reloads) row() RowReport {
	return RowReport{
		Row: 53, Fault: "reloads under load, some with a broken file, racing SIGHUP", Runs: re.good + re.bad,
		Failed: int64(len(re.failures)), Failures: re.failures,
		Remark: fmt.Sprintf("%d valid, %d broken, %d raced by SIGHUP", re.good, re.bad, re.signals),
	}
}

// perform plays the rows in an order of the seed, round after round.
func (s *stage) perform(ctx context.Context, until time.Time) []RowReport {
	results := make([]RowReport, len(rows))
	var locks [64]sync.Mutex // a row has one pool, so it is played by one at a time
	work := make(chan job)
	var g sync.WaitGroup
	for range performers {
		g.Go(func() {
			for j := range work {
				locks[j.row].Lock()
				notes, err := s.playOnce(ctx, j)
				results[j.row].add(err, notes)
				locks[j.row].Unlock()
			}
		})
	}
	rng := stream(s.opts.Seed, "order", 0)
	for round := 0; ; round++ {
		for _, i := range rng.Perm(len(rows)) {
			if ctx.Err() != nil || round > 0 && time.Now().After(until) {
				close(work)
				g.Wait()
				for i := range rows {
					results[i].Row, results[i].Fault = rows[i].number, rows[i].fault
				}
				return results
			}
			work <- job{i, round}
		}
	}
}

// job is one performance.
type job struct{ row, round int }

func (s *stage) playOnce(ctx context.Context, j job) (notes []Figure, err error) {
	r := &rows[j.row]
	sc := &scene{
		stage: s, ctx: ctx, row: r, rng: stream(s.opts.Seed, r.pool(), j.round), pool: s.pools[r.pool()],
	}
	sc.encrypted = sc.rng.IntN(encryptedShare) == 0
	err = safely(func() error { return r.play(sc) })
	if ctx.Err() != nil {
		return nil, nil // it was interrupted, which is nobody's fault
	}
	return sc.notes, err
}
