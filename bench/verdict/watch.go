package verdict

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Source is where the numbers come from.
type Source struct {
	Admin string // URL of Weir's admin side, as http://127.0.0.1:9901

	// Find returns the processes on this machine that listen on an address. Nil, or
	// none found: their CPU time is not known.
	Find func(netip.AddrPort) []int
}

// Seen is what a Source says of a run: Facts without what only the client knows.
type Seen struct {
	Busy           []float64
	Proxy, Backend Process
	InProxy        time.Duration
	Stages         Stages
	Retransmits    float64
}

// Watch finds the processes, which takes a moment where there are many sockets and so
// must be over before the load begins. It then looks at the source twice, from and to
// after it has returned. Wait makes it look the second time at the latest, returns what
// happened between, or the first error, and is to be called once.
func Watch(ctx context.Context, s Source, from, to time.Duration) (wait func() (Seen, error)) {
	first, err := s.scrape(ctx) // says who there is, and that the source is of use
	if err != nil {
		return func() (Seen, error) { return Seen{}, err }
	}
	w := watcher{source: s, end: make(chan struct{})}
	w.proxy, w.backends = s.processes(first)
	w.start = time.Now()
	type result struct {
		seen Seen
		err  error
	}
	done := make(chan result, 1)
	go func() {
		var r result
		defer func() {
			if v := recover(); v != nil {
				r.err = fmt.Errorf("BUG: %v", v)
			}
			done <- r
		}()
		r.seen, r.err = w.watch(ctx, from, to)
	}()
	return func() (Seen, error) {
		close(w.end)
		r := <-done
		return r.seen, r.err
	}
}

// watcher looks at the processes of a source.
type watcher struct {
	source          Source
	proxy, backends []int
	start           time.Time
	end             chan struct{} // closed when the run is over
}

func (w *watcher) watch(ctx context.Context, from, to time.Duration) (Seen, error) {
	before, err := w.look(ctx, from)
	if err != nil {
		return Seen{}, err
	}
	after, err := w.look(ctx, to)
	if err != nil {
		return Seen{}, err
	}
	return after.since(before), nil
}

// look takes a sample, at after the start or at the end.
func (w *watcher) look(ctx context.Context, at time.Duration) (sample, error) {
	t := time.NewTimer(time.Until(w.start.Add(at)))
	defer t.Stop()
	select {
	case <-t.C:
	case <-w.end: // the run was shorter than it might have been
	case <-ctx.Done():
		return sample{}, fmt.Errorf("interrupted: %w", ctx.Err())
	}
	m, err := w.source.scrape(ctx)
	return sample{time.Now(), m, readTimes(w.proxy), readTimes(w.backends), readMachine()}, err
}

// sample is one look.
type sample struct {
	at             time.Time
	metrics        metrics
	proxy, backend cpuTimes
	machine        machine
}

func (after sample) since(before sample) Seen {
	wall := after.at.Sub(before.at)
	d := after.metrics.minus(before.metrics)
	s := Seen{
		Busy: after.machine.since(before.machine, wall), Proxy: after.proxy.since(before.proxy, wall),
		Backend: after.backend.since(before.backend, wall),
		InProxy: d.mean("weir_l7_request_seconds", "").Mean,
	}
	if sent := after.machine.sent - before.machine.sent; sent > 0 {
		s.Retransmits = (after.machine.sentAgain - before.machine.sentAgain) / sent
	}
	layer := `layer="l7"`
	if d.mean("weir_stage_seconds", layer).Count == 0 {
		layer = `layer="l4"`
	}
	stage := func(name string) Stage { return d.mean("weir_stage_seconds", layer+`,stage="`+name+`"`) }
	s.Stages = Stages{Connect: stage("connect"), FirstByte: stage("first_byte"), Deliver: stage("deliver")}
	return s
}

// processes finds Weir and its backends.
func (s *Source) processes(m metrics) (proxy, backends []int) {
	if s.Find == nil {
		return nil, nil
	}
	find := func(addr string) []int {
		a, err := netip.ParseAddrPort(addr)
		if err != nil {
			return nil // a name or a path, and so on another machine, or not known
		}
		return s.Find(a)
	}
	seen := map[int]bool{}
	for _, pid := range find(strings.TrimSuffix(strings.TrimPrefix(s.Admin, "http://"), "/")) {
		proxy, seen[pid] = append(proxy, pid), true
	}
	for series := range m {
		labels, ok := strings.CutPrefix(series, "weir_backend_up{")
		if !ok {
			continue
		}
		_, addr, _ := strings.Cut(labels, `backend="`)
		addr, _, _ = strings.Cut(addr, `"`)
		for _, pid := range find(addr) {
			if !seen[pid] {
				backends, seen[pid] = append(backends, pid), true
			}
		}
	}
	return proxy, backends
}

// metrics are samples by their series, labels included.
type metrics map[string]float64

// maxMetrics is how long a page of metrics may be.
const maxMetrics = 64 << 20

func (s *Source) scrape(ctx context.Context) (metrics, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(s.Admin, "/")+"/metrics", nil)
	if err != nil {
		return nil, fmt.Errorf("cannot read the metrics: %w", err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("cannot read the metrics: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("cannot read the metrics of %s: status %d", s.Admin, resp.StatusCode)
	}
	return parseMetrics(io.LimitReader(resp.Body, maxMetrics))
}

func parseMetrics(r io.Reader) (metrics, error) {
	m := metrics{}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := lines.Text()
		at := strings.LastIndexByte(line, ' ')
		if at < 0 || line[0] == '#' {
			continue
		}
		v, err := strconv.ParseFloat(line[at+1:], 64)
		if err != nil {
			return nil, fmt.Errorf("cannot read the sample %q: %w", line, err)
		}
		m[line[:at]] = v
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("cannot read the metrics: %w", err)
	}
	return m, nil
}

// minus is what was added since o.
func (m metrics) minus(o metrics) metrics {
	d := make(metrics, len(m))
	for series, v := range m {
		d[series] = v - o[series]
	}
	return d
}

// mean is that of a histogram, over the label sets that begin with labels.
func (m metrics) mean(name, labels string) Stage {
	var s Stage
	sum := 0.0
	for series, v := range m {
		switch {
		case strings.HasPrefix(series, name+"_sum{"+labels):
			sum += v
		case strings.HasPrefix(series, name+"_count{"+labels):
			s.Count += v
		}
	}
	if s.Count > 0 {
		s.Mean = time.Duration(math.Round(sum / s.Count * float64(time.Second)))
	}
	return s
}
