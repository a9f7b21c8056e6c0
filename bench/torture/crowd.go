package torture

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// crowd are the bystanders: clients of a healthy pool, to whom nothing may happen
// whatever happens to others. Beside them goes a control group that asks the same
// backends without Weir: what slows it down is the machine, not Weir.
type crowd struct {
	stage    *stage
	groups   []*group
	failures atomic.Int64
	slowest  atomic.Int64 // nanoseconds, of the control group, of late
	torture  atomic.Bool  // which phase it is
	running  sync.WaitGroup
	stop     context.CancelFunc
}

// group is one kind of bystander.
type group struct {
	name    string
	control bool
	make    func(*stage) (ask func() error, end func()) // what it does, and what ends it

	mu    sync.Mutex
	times [2]*hdrhistogram.Histogram // microseconds; in calm, under torture
}

const (
	// bystanderPause is the time between two requests of a bystander.
	bystanderPause = 4 * time.Millisecond
	// noiseDecay halves what is taken for the machine's noise, at each request.
	noiseDecay = 0.998
)

func newCrowd(s *stage) *crowd {
	c := &crowd{stage: s, groups: []*group{
		{name: "http, kept connection", make: httpAsker("calm", false)},
		{name: "https, kept connection", make: httpAsker("secure", false)},
		{name: "http, new connections", make: httpAsker("calm", true)},
		{name: "tcp, kept session", make: (*stage).echoAsker},
		{name: "tcp, new sessions", make: (*stage).downloader},
		{name: "without weir, kept", control: true, make: httpAsker("", false)},
		{name: "without weir, new", control: true, make: httpAsker("", true)},
	}}
	for _, g := range c.groups {
		g.times = [2]*hdrhistogram.Histogram{newTimes(), newTimes()}
	}
	return c
}

func newTimes() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, patience.Microseconds(), 3)
}

// httpAsker asks a listener, or where it is "" a backend.
func httpAsker(listener string, fresh bool) func(*stage) (ask func() error, end func()) {
	return func(s *stage) (func() error, func()) {
		addr := s.addr[listener]
		if listener == "" {
			addr = s.pools["calm"][1].addr()
		}
		c := &client{stage: s, addr: addr, host: "calm.test", fresh: fresh, tls: listener == "secure"}
		return func() error { return want(c.do(request{how: "whole", n: 1000}), right, 0) }, c.close
	}
}

// downloader has a TCP session for each request.
func (s *stage) downloader() (ask func() error, end func()) {
	return func() error { return want(s.download(s.addr["calmraw"], 1000), right, 0) }, func() {}
}

// echoAsker says something in an L4 session and wants to hear it again.
func (s *stage) echoAsker() (ask func() error, end func()) {
	var c io.ReadWriteCloser
	sent, got := newBody(1), newBody(1)
	return func() error {
			if c == nil {
				conn, err := dial(s.addr["calmraw"], time.Hour)
				if err != nil {
					return err
				}
				c = conn
				if _, err := io.WriteString(c, "echo\n"); err != nil {
					return fmt.Errorf("session: %w", err)
				}
			}
			var a, b, exp [64]byte
			_, _ = sent.Read(a[:])
			_, _ = got.Read(exp[:])
			if _, err := c.Write(a[:]); err != nil {
				return fmt.Errorf("session: %w", err)
			}
			if _, err := io.ReadFull(c, b[:]); err != nil {
				return fmt.Errorf("session: %w", err)
			}
			if b != exp {
				s.oracle.accuse("l4: an echo of other bytes")
			}
			return nil
		}, func() {
			if c != nil {
				_ = c.Close()
			}
		}
}

func (c *crowd) begin(ctx context.Context) {
	ctx, c.stop = context.WithCancel(ctx)
	for _, g := range c.groups {
		c.running.Go(func() {
			if err := safely(func() error { c.run(ctx, g); return nil }); err != nil {
				c.fail(g, err)
			}
		})
	}
}

func (c *crowd) run(ctx context.Context, g *group) {
	ask, end := g.make(c.stage)
	defer func() { end() }()
	for pause(ctx, bystanderPause) {
		start := time.Now()
		err := ask()
		took := time.Since(start)
		if err != nil {
			c.fail(g, err)
			end()
			ask, end = g.make(c.stage)
		}
		phase := 0
		if c.torture.Load() {
			phase = 1
		}
		g.mu.Lock()
		_ = g.times[phase].RecordValue(min(max(took.Microseconds(), 1), patience.Microseconds()))
		g.mu.Unlock()
		if g.control {
			c.slowest.Store(max(int64(took), int64(float64(c.slowest.Load())*noiseDecay)))
		}
	}
}

func (c *crowd) fail(g *group, err error) {
	c.failures.Add(1)
	c.stage.oracle.accuse("bystander (%s): %v", g.name, err)
}

// noise is how long the machine itself has lately kept a request waiting.
func (c *crowd) noise() time.Duration { return time.Duration(c.slowest.Load()) }

func (c *crowd) end() {
	if c.stop != nil {
		c.stop()
	}
	c.running.Wait()
}

// Bystanders is how one kind of undisturbed client fared, times in microseconds.
type Bystanders struct {
	Name     string  `json:"name"`
	Control  bool    `json:"control"` // without Weir
	Requests int64   `json:"requests"`
	CalmP50  float64 `json:"calm_p50_us"`
	CalmP99  float64 `json:"calm_p99_us"`
	P50      float64 `json:"p50_us"` // under torture
	P99      float64 `json:"p99_us"`
}

func (c *crowd) report() []Bystanders {
	all := make([]Bystanders, 0, len(c.groups))
	for _, g := range c.groups {
		g.mu.Lock()
		calm, torture := g.times[0], g.times[1]
		all = append(all, Bystanders{
			Name: g.name, Control: g.control, Requests: calm.TotalCount() + torture.TotalCount(),
			CalmP50: float64(calm.ValueAtPercentile(50)), CalmP99: float64(calm.ValueAtPercentile(99)),
			P50: float64(torture.ValueAtPercentile(50)), P99: float64(torture.ValueAtPercentile(99)),
		})
		g.mu.Unlock()
	}
	return all
}
