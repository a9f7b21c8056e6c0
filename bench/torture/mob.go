package torture

import (
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// The mob are clients that do everything to everybody at once, in front of backends
// that are killed and stalled meanwhile. Nothing particular has to come of any of
// it, only nothing wrong: that is what the oracle is for.

// mobSize is how many clients it has for each listener.
const mobSize = 6

// stream makes a source of randomness of its own for a part of the run, so that what
// one part does cannot change what another one does.
func stream(seed uint64, part string, number int) *rand.Rand {
	h := uint64(14695981039346656037)
	for _, c := range []byte(part) {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return rand.New(rand.NewPCG(seed, mix(h, uint64(number))))
}

// riot runs the mob until ctx ends.
func (s *stage) riot(ctx context.Context) {
	var g sync.WaitGroup
	start := func(part string, n int, f func(context.Context, *rand.Rand)) {
		for i := range n {
			g.Go(func() {
				rng := stream(s.opts.Seed, part, i)
				if err := safely(func() error { f(ctx, rng); return nil }); err != nil {
					s.oracle.accuse("%s: %v", part, err)
				}
			})
		}
	}
	start("mob", mobSize, s.httpRiot(false))
	start("mobtls", mobSize/2, s.httpRiot(true))
	start("storm", 1, s.storms)
	start("mobraw", mobSize, s.tcpRiot)
	start("killer", 1, func(ctx context.Context, rng *rand.Rand) { s.killer(ctx, rng, s.pools["mob"]) })
	start("killer", 1, func(ctx context.Context, rng *rand.Rand) { s.killer(ctx, rng, s.pools["mobraw"]) })
	g.Wait()
}

// mobHows are the behaviours that the mob asks for; those that are good more often.
var mobHows = []string{
	"whole", "whole", "whole", "chunked", "chunked", "chunked", "slow", "fin", "stale", "surplus", "late",
	"cut-length", "cut-chunked", "rst-length", "rst-chunked", "die", "die-once", "half",
	"no-status", "two-ways", "endless",
}

// httpRiot is what one client of the mob does.
func (s *stage) httpRiot(encrypted bool) func(context.Context, *rand.Rand) {
	return func(ctx context.Context, rng *rand.Rand) {
		c := s.webClient("mob.test", encrypted)
		defer c.close()
		s.rage(ctx, rng, c)
	}
}

func (s *stage) rage(ctx context.Context, rng *rand.Rand, c *client) {
	for pause(ctx, time.Duration(rng.IntN(8))*time.Millisecond) {
		how := mobHows[rng.IntN(len(mobHows))]
		n := size(rng)
		q := request{how: how, n: n}
		if rng.IntN(3) == 0 {
			q.method, q.send, q.chunk = http.MethodPost, 1+size(rng), rng.IntN(2) == 0
			if how == "whole" && rng.IntN(4) == 0 {
				q.how, q.n = "early", 0
			}
		}
		switch rng.IntN(12) {
		case 0:
			c.close() // a new connection
		case 1:
			if q.send > 1 {
				q.cut, q.rst = 1+rng.Int64N(q.send-1), rng.IntN(2) == 0
			}
		case 2:
			s.abort(c, q, rng)
			continue
		case 3:
			s.dawdle(rng, n, c.tls)
			continue
		}
		a := c.do(q)
		if q.cut > 0 && a.class == right {
			s.oracle.accuse("POST %d was cut short after %d of %d bytes, and answered", a.id, q.cut, q.send)
		}
	}
}

// size is the length of a body: most are small, some are not.
func size(rng *rand.Rand) int64 {
	switch rng.IntN(10) {
	case 0:
		return rng.Int64N(2 << 20)
	case 1, 2, 3:
		return rng.Int64N(100_000)
	}
	return rng.Int64N(4000)
}

// abort takes a part of an answer and is gone.
func (s *stage) abort(c *client, q request, rng *rand.Rand) {
	one := &client{stage: s, addr: c.addr, host: c.host, tls: c.tls}
	id, err := one.begin(q.how, q.n)
	defer one.close()
	defer s.oracle.forget(id)
	if err != nil {
		return
	}
	_ = one.conn.SetReadDeadline(time.Now().Add(time.Duration(rng.IntN(50)) * time.Millisecond))
	_, _ = io.CopyN(io.Discard, one.conn, rng.Int64N(q.n+1))
	if rng.IntN(2) == 0 {
		_ = one.conn.SetLinger(0)
	}
}

// dawdle is a slow reader: it takes its answer in pieces, with pauses.
func (s *stage) dawdle(rng *rand.Rand, n int64, encrypted bool) {
	c := s.webClient("mob.test", encrypted)
	defer c.close()
	id, err := c.begin("whole", n)
	if err != nil {
		return
	}
	c.r.Reset(&pausing{r: c.w, pause: time.Duration(1+rng.IntN(5)) * time.Millisecond})
	c.finish(id, "whole", n)
}

// pausing pauses before each read.
type pausing struct {
	r     io.Reader
	pause time.Duration
}

func (r *pausing) Read(p []byte) (int, error) {
	<-time.After(r.pause)
	return r.r.Read(p)
}

func (s *stage) tcpRiot(ctx context.Context, rng *rand.Rand) {
	for pause(ctx, time.Duration(rng.IntN(8))*time.Millisecond) {
		switch rng.IntN(4) {
		case 0:
			s.upload(s.addr["raw"], size(rng))
		case 1: // connect, say nothing or half a word, and be gone
			c, err := dial(s.addr["raw"], patience)
			if err != nil {
				continue
			}
			if rng.IntN(2) == 0 {
				_, _ = io.WriteString(c, "send ")
			}
			if rng.IntN(2) == 0 {
				_ = c.SetLinger(0)
			}
			_ = c.Close()
		default:
			s.download(s.addr["raw"], size(rng))
		}
	}
}

// killer kills and stalls the backends of a pool, one at a time, and leaves them all
// running.
func (s *stage) killer(ctx context.Context, rng *rand.Rand, pool []*backend) {
	for pause(ctx, time.Duration(100+rng.IntN(900))*time.Millisecond) {
		b := pool[rng.IntN(len(pool))]
		d := time.Duration(50+rng.IntN(500)) * time.Millisecond
		if rng.IntN(2) == 0 {
			goOn := b.stall()
			pause(ctx, d)
			goOn()
			continue
		}
		b.kill()
		pause(ctx, d)
		if err := b.restart(context.WithoutCancel(ctx)); err != nil {
			s.oracle.accuse("a backend did not come back: %v", err)
		}
	}
}
