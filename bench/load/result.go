package load

import (
	"fmt"
	"io"
	"runtime"
	"text/tabwriter"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Result is what a run has measured. Names of JSON fields end with their unit.
type Result struct {
	Plan    Plan      `json:"plan"`
	Started time.Time `json:"started"`
	Window  float64   `json:"window_s"` // length of the measurement

	// Valid is false when the figures may say more about the generator than about
	// the target; Invalid then says why.
	Valid   bool     `json:"valid"`
	Invalid []string `json:"invalid,omitempty"`
	// Unjudged says why nothing is known of whether the generator was the bottleneck:
	// the run was too short to measure the CPU time of the target.
	Unjudged string `json:"not_judged,omitempty"`

	Requests int64    `json:"requests"` // begun or due in the window
	Answered int64    `json:"answered"` // right answers that ended in the window
	Rate     float64  `json:"answered_per_second"`
	BytesIn  int64    `json:"received_bytes"`
	BytesOut int64    `json:"sent_bytes"`
	RateIn   float64  `json:"received_bytes_per_second"`
	RateOut  float64  `json:"sent_bytes_per_second"`
	Opened   int64    `json:"connections_opened"` // in the whole run
	Failed   Failures `json:"failed"`
	Error    string   `json:"first_error,omitempty"`

	// Latency is that of right answers, and of requests without an answer the time
	// after which they were given up. In an open loop it counts from when a request
	// was due.
	Latency  Distribution  `json:"latency"`
	Lateness *Distribution `json:"lateness,omitempty"` // of the generator; open loop only

	Generator CPU  `json:"generator_cpu"`
	Target    *CPU `json:"target_cpu,omitempty"` // nil where the target's processes are not known
}

// Failures counts the requests of the window that were not answered rightly, by reason.
type Failures struct {
	Connect    int64 `json:"connect"`    // no connection was made
	Closed     int64 `json:"closed"`     // the server ended the connection too early
	Timeout    int64 `json:"timeout"`    // longer than the plan's timeout
	Status     int64 `json:"status"`     // another status, or an error message
	Length     int64 `json:"length"`     // another length than expected or announced
	Data       int64 `json:"data"`       // other bytes than expected
	Protocol   int64 `json:"protocol"`   // not what the protocol allows
	Local      int64 `json:"local"`      // this machine ran out of descriptors, ports or memory
	Unfinished int64 `json:"unfinished"` // due or under way at the end of the run
}

// Total is the sum of all.
func (f Failures) Total() int64 {
	return f.Connect + f.Closed + f.Timeout + f.Status + f.Length + f.Data + f.Protocol + f.Local + f.Unfinished
}

// Distribution describes times, in microseconds, to three digits.
type Distribution struct {
	Count int64   `json:"count"`
	Mean  float64 `json:"mean_us"`
	Min   float64 `json:"min_us"`
	P50   float64 `json:"p50_us"`
	P75   float64 `json:"p75_us"`
	P90   float64 `json:"p90_us"`
	P95   float64 `json:"p95_us"`
	P99   float64 `json:"p99_us"`
	P999  float64 `json:"p99_9_us"`
	P9999 float64 `json:"p99_99_us"`
	Max   float64 `json:"max_us"`

	// Curve has the points from which a plot is made: the share of requests that
	// took at most so long.
	Curve []Point `json:"curve,omitempty"`
}

// Point is one point of a Distribution's curve.
type Point struct {
	Quantile float64 `json:"quantile"`
	Value    float64 `json:"us"`
}

// CPU is processor time used in the window.
type CPU struct {
	Processes  []int   `json:"processes,omitempty"`
	Seconds    float64 `json:"cpu_s"`
	Share      float64 `json:"cpus"`                // as a number of CPUs that were busy
	PerRequest float64 `json:"us_per_request"`      // 0 where there are none
	PerByte    float64 `json:"s_per_gigabyte"`      // of payload, both directions
	Busiest    float64 `json:"busiest_thread_cpus"` // share of the busiest thread; 0: not known
}

// report makes the result of a run that has ended.
func (r *run) report() *Result {
	all := newRecorder(r.plan)
	res := &Result{Plan: *r.plan, Started: r.epoch}
	for _, e := range r.engines {
		rec := e.records()
		all.merge(rec)
		if window := (rec.to - rec.from).Seconds(); window > 0 {
			res.Rate += float64(rec.answered) / window
			res.RateIn += float64(rec.in) / window
			res.RateOut += float64(rec.out) / window
			res.Window = max(res.Window, window)
		}
	}
	res.Requests, res.Answered, res.Opened = all.began, all.answered, all.opened
	res.BytesIn, res.BytesOut = all.in, all.out
	res.Failed = failuresOf(all)
	if all.first != nil {
		res.Error = all.first.Error()
	}
	res.Latency = distribution(all.latency)
	if r.plan.Rate > 0 {
		d := distribution(all.lateness)
		res.Lateness = &d
	}
	s := r.began.until(r.ended)
	res.Generator = cpu(s.own, s.wall, all)
	if s.known {
		c := cpu(s.target, s.wall, all)
		c.Processes, c.Busiest = r.targets, s.busiest.Seconds()/s.wall.Seconds()
		res.Target = &c
	}
	res.Invalid = judge(facts{
		plan: r.plan, answered: all.answered, failed: res.Failed.Total(), bytes: all.in + all.out,
		cpus:     min(affinity(0), runtime.GOMAXPROCS(0)),
		lateness: time.Duration(all.lateness.ValueAtPercentile(99)), spent: s, first: all.first, stopped: r.interrupted,
	})
	res.Valid = len(res.Invalid) == 0
	res.Unjudged = unjudged(s)
	return res
}

func failuresOf(r *recorder) Failures {
	n := &r.failed
	return Failures{
		Connect: n[failConnect], Closed: n[failClosed], Timeout: n[failTimeout], Status: n[failStatus],
		Length: n[failLength], Data: n[failData], Protocol: n[failProtocol], Local: n[failLocal],
		Unfinished: n[failUnfinished],
	}
}

func cpu(used, wall time.Duration, r *recorder) CPU {
	c := CPU{Seconds: used.Seconds()}
	if wall > 0 {
		c.Share = used.Seconds() / wall.Seconds()
	}
	if r.answered > 0 {
		c.PerRequest = used.Seconds() * 1e6 / float64(r.answered)
	}
	if n := r.in + r.out; n > 0 {
		c.PerByte = used.Seconds() / (float64(n) / 1e9)
	}
	return c
}

func distribution(h *hdrhistogram.Histogram) Distribution {
	us := func(ns int64) float64 { return float64(ns) / 1e3 }
	at := func(p float64) float64 { return us(h.ValueAtPercentile(p)) }
	d := Distribution{Count: h.TotalCount()}
	if d.Count == 0 {
		return d
	}
	d.Mean, d.Min, d.Max = h.Mean()/1e3, us(h.Min()), us(h.Max())
	d.P50, d.P75, d.P90, d.P95 = at(50), at(75), at(90), at(95)
	d.P99, d.P999, d.P9999 = at(99), at(99.9), at(99.99)
	for _, b := range h.CumulativeDistribution() {
		d.Curve = append(d.Curve, Point{b.Quantile / 100, us(b.ValueAt)})
	}
	return d
}

// WriteTable writes the result for people.
func (r *Result) WriteTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		_, _ = fmt.Fprintf(t, "%s\t%s\n", name, fmt.Sprintf(format, args...)) // errors stay with t: Flush tells
	}
	row("run", "%s", r.summary())
	if !r.Plan.bulk() {
		row("answered", "%.0f/s, %d of %d requests in %.1f s", r.Rate, r.Answered, r.Requests, r.Window)
	}
	row("bytes", "received %.2f MB/s%s, sent %.2f MB/s", r.RateIn/1e6, r.Plan.treatment(), r.RateOut/1e6)
	if n := r.Failed.Total(); n > 0 {
		row("failed", "%d: %s", n, r.Failed)
	}
	if r.Error != "" {
		row("first error", "%s", r.Error)
	}
	if r.Latency.Count > 0 {
		row("latency", "%s", r.Latency)
	}
	if r.Lateness != nil {
		row("generator late", "%s", *r.Lateness)
	}
	row("generator CPU", "%s", r.Generator.text(&r.Plan))
	if r.Target != nil {
		row("target CPU", "%s, processes %v", r.Target.text(&r.Plan), r.Target.Processes)
	}
	if r.Unjudged != "" {
		row("not judged", "%s", r.Unjudged)
	}
	for _, why := range r.Invalid {
		row("NOT VALID", "%s", why)
	}
	return t.Flush()
}

func (r *Result) summary() string {
	p := &r.Plan
	loop := "closed loop"
	switch {
	case p.Poisson:
		loop = fmt.Sprintf("open loop at %g/s (Poisson)", p.Rate)
	case p.Rate > 0:
		loop = fmt.Sprintf("open loop at %g/s", p.Rate)
	}
	s := fmt.Sprintf("%s to %s, %d connections", p.Kind, p.Address, p.Conns)
	if p.Streams > 1 {
		s += fmt.Sprintf(" with %d streams", p.Streams)
	}
	return s + ", " + loop
}

// String lists the reasons that occurred.
func (f Failures) String() string {
	s := ""
	for _, c := range []struct {
		name string
		n    int64
	}{
		{"connect", f.Connect},
		{"closed", f.Closed},
		{"timeout", f.Timeout},
		{"status", f.Status},
		{"length", f.Length},
		{"data", f.Data},
		{"protocol", f.Protocol},
		{"local", f.Local},
		{"unfinished", f.Unfinished},
	} {
		if c.n == 0 {
			continue
		}
		if s != "" {
			s += ", "
		}
		s += fmt.Sprintf("%s %d", c.name, c.n)
	}
	return s
}

// String gives the main figures.
func (d Distribution) String() string {
	f := func(us float64) time.Duration { return round(time.Duration(us * 1e3)) }
	return fmt.Sprintf("mean %s, p50 %s, p90 %s, p99 %s, p99.9 %s, p99.99 %s, max %s",
		f(d.Mean), f(d.P50), f(d.P90), f(d.P99), f(d.P999), f(d.P9999), f(d.Max))
}

func (c CPU) text(p *Plan) string {
	if p.bulk() {
		return fmt.Sprintf("%.2f CPUs, %.3f s per GB", c.Share, c.PerByte)
	}
	return fmt.Sprintf("%.2f CPUs, %.2f µs per request", c.Share, c.PerRequest)
}
