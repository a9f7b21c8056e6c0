package torture

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// What is looked at when the torture is over.

// recovery is how long it takes until every backend of the mob serves again and no
// request fails.
func (s *stage) recovery(ctx context.Context) (time.Duration, error) {
	const inRow = 50
	start := time.Now()
	c := &client{stage: s, addr: s.addr["web"], host: "mob.test"}
	defer c.close()
	before := make([]int64, len(s.pools["mob"]))
	for i, b := range s.pools["mob"] {
		before[i] = b.served.Load()
	}
	served := func() bool {
		for i, b := range s.pools["mob"] {
			if b.served.Load() == before[i] {
				return false
			}
		}
		return true
	}
	for good := 0; good < inRow || !served(); {
		if time.Since(start) > patience {
			return time.Since(start), fmt.Errorf("not all of it within %s", patience)
		}
		if c.do(request{how: "whole", n: 1000}).class == right {
			good++
		} else {
			good = 0
		}
		pause(ctx, time.Millisecond)
	}
	took := time.Since(start)
	if limit := s.limit(2 * time.Second); took > limit {
		return took, fmt.Errorf("it took %s: promised are 2s, allowed %s here and now", round(took), round(limit))
	}
	return took, nil
}

// settled is what Weir uses when nothing happens: kept connections to backends, and
// what else is about to end, are waited for.
func (s *stage) settled(ctx context.Context) (Usage, error) {
	best, err := s.weir.usage(ctx)
	for quiet := 0; err == nil && quiet < 10 && pause(ctx, retryPause); quiet++ {
		var u Usage
		u, err = s.weir.usage(ctx)
		if err == nil && (u.Goroutines < best.Goroutines || u.Descriptors < best.Descriptors) {
			best, quiet = u, 0
		}
	}
	return best, err
}

// finish looks at what is left, and drains.
func (s *stage) finish(ctx context.Context, r *Report) {
	var err error
	r.After, err = s.givesBack(ctx, r.Before)
	if err != nil {
		s.oracle.accuse("usage: %v", err)
	}
	panics := RowReport{Row: 47, Fault: "a bug of ours panics", Remark: "none is known: none may be seen"}
	s.row(r, panics, s.noPanics(ctx))
	took, err := s.drain()
	drain := RowReport{Row: 56, Fault: "SIGTERM with a request under way"}
	drain.add(err, []Figure{{"drain", took, 10 * time.Second}})
	r.Rows = append(r.Rows, drain)

	r.Bystanders = s.crowd.report()
	r.Slowdown = slowdown(r.Bystanders)
	if limit := slowdownLimit * s.opts.Slack; r.Slowdown > limit {
		s.oracle.accuse("bystanders: the p99 grew %.2f times beyond what the machine does to everybody, allowed %.2f",
			r.Slowdown, limit)
	}
	r.SideEffects = s.oracle.audit()
	r.Requests = map[string]int64{}
	for c := range classes {
		r.Requests[c.String()] = s.oracle.counts[c].Load()
	}
	r.Bytes, r.Encrypted, r.Storms = s.oracle.bytes.Load(), s.oracle.encrypted.Load(), s.oracle.storms.Load()
	r.Failures = s.oracle.notes
	if more := s.oracle.wrongs - int64(len(r.Failures)); more > 0 {
		r.Failures = append(r.Failures, fmt.Sprintf("and %d more", more))
	}
}

// givesBack waits until Weir uses no more than before.
func (s *stage) givesBack(ctx context.Context, before Usage) (Usage, error) {
	const (
		goroutines, descriptors = 4, 4 // a scrape, a resolver
		pipes                   = 2 * 512
		heap                    = 48 << 20 // garbage that was not collected yet
	)
	start := time.Now()
	for {
		u, err := s.weir.usage(ctx)
		if err != nil {
			return u, err
		}
		if u.Goroutines <= before.Goroutines+goroutines && u.Descriptors <= before.Descriptors+descriptors &&
			u.Pipes <= pipes && u.Buffers <= before.Buffers && u.Heap <= before.Heap+heap {
			return u, nil
		}
		if time.Since(start) > patience {
			return u, fmt.Errorf("not given back within %s: %+v before, %+v now\n%s",
				patience, before, u, s.named(s.weir.descriptors()))
		}
		pause(ctx, retryPause)
	}
}

// named says in a text whose the addresses are.
func (s *stage) named(text string) string {
	for name, addr := range s.addr {
		text = strings.ReplaceAll(text, addr, addr+" (listener "+name+")")
	}
	for name, pool := range s.pools {
		for _, b := range pool {
			text = strings.ReplaceAll(text, b.addr(), b.addr()+" (pool "+name+")")
		}
	}
	return text
}

func (s *stage) noPanics(ctx context.Context) error {
	m, err := s.weir.metrics(ctx)
	if err != nil {
		return err
	}
	if n := m.sum("weir_panics_total"); n > 0 {
		return fmt.Errorf("%g panics were recovered\n%s", n, s.weir.log.text())
	}
	if bad := s.weir.log.badWord(); bad != "" {
		return fmt.Errorf("the log holds %s", bad)
	}
	return nil
}

// drain ends Weir while a request is under way, which must get its whole answer.
func (s *stage) drain() (time.Duration, error) {
	c := &client{stage: s, addr: s.addr["calm"], host: "a"}
	id, err := c.begin("slow", 100_000)
	if err != nil {
		return 0, err
	}
	defer c.close()
	for start := time.Now(); s.oracle.trace(id).seen == 0 && time.Since(start) < patience; {
		pause(context.Background(), time.Millisecond)
	}
	answered := make(chan error, 1)
	go func() { answered <- want(c.finish(id, "slow", 100_000), right, http.StatusOK) }()
	took, err := s.weir.stop(patience)
	return took, errors.Join(err, <-answered)
}

// slowdown is the worst ratio of p99 under torture to p99 in calm, divided by that
// of the control group. Below a millisecond all are alike.
func slowdown(all []Bystanders) float64 {
	const floor = 1000 // microseconds
	ratio := func(b Bystanders) float64 { return max(b.P99, floor) / max(b.CalmP99, floor) }
	control, worst := 1.0, 0.0
	for _, b := range all {
		if b.Control {
			control = max(control, ratio(b))
		} else {
			worst = max(worst, ratio(b))
		}
	}
	return worst / control
}
