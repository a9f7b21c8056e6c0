package torture

import (
	"context"
	"io"
	"math/rand/v2"
	"time"
)

const (
	// stormSize is how many connections a storm brings at once, and at most has open.
	stormSize = 150
	// stormPause is the shortest time between two storms; the longest is three times that.
	stormPause = 500 * time.Millisecond
)

// storms brings many connections at once, again and again: some say nothing, some
// half a word, some are gone at once, and some ask for something, of which nothing
// wrong may come.
func (s *stage) storms(ctx context.Context, rng *rand.Rand) {
	for pause(ctx, stormPause+time.Duration(rng.Int64N(int64(2*stormPause)))) {
		kinds := make([]int, stormSize)
		for i := range kinds {
			kinds[i] = rng.IntN(8)
		}
		stay := time.Duration(rng.IntN(100)) * time.Millisecond
		if err := all(stormSize, func(i int) error { s.gust(ctx, kinds[i], stay); return nil }); err != nil {
			s.oracle.accuse("storm: %v", err)
		}
		s.oracle.storms.Add(1)
	}
}

// gust is one connection of a storm.
func (s *stage) gust(ctx context.Context, kind int, stay time.Duration) {
	if kind < 3 {
		c := s.webClient("mob.test", kind == 0)
		c.do(request{how: "whole", n: 1000})
		c.close()
		return
	}
	to := "web"
	if kind > 5 {
		to = "raw"
	}
	c, err := dial(s.addr[to], patience)
	if err != nil {
		return // refused, which is an answer too
	}
	defer c.Close() //nolint:errcheck // nothing is lost
	if kind%2 == 0 {
		_, _ = io.WriteString(c, "GET /who")
		_ = c.SetLinger(0)
	}
	pause(ctx, stay)
}
