package torture

import (
	"fmt"
	"io"
	"sort"
	"strings"
	"text/tabwriter"
	"time"
)

// Report is what a run has found.
type Report struct {
	Seed     uint64        `json:"seed"`
	Started  time.Time     `json:"started"`
	Took     time.Duration `json:"took_ns"`
	Slack    float64       `json:"slack"`
	Pass     bool          `json:"pass"`
	Rows     []RowReport   `json:"rows"`
	Failures []string      `json:"failures,omitempty"` // of the oracle; the first ones

	Requests    map[string]int64 `json:"requests"` // by what became of them: right, refused, broken, wrong
	Bytes       int64            `json:"right_bytes"`
	Encrypted   int64            `json:"https_connections"`
	Storms      int64            `json:"connection_storms"`
	SideEffects int              `json:"requests_with_side_effects"` // none ran twice, or it is a failure

	Bystanders []Bystanders  `json:"bystanders"`
	Slowdown   float64       `json:"bystander_p99_ratio"` // torture to calm, divided by that of the control group
	Recovery   time.Duration `json:"recovery_ns"`         // of all backends, after the last fault
	Noise      time.Duration `json:"noise_ns"`            // slowest request of the control group at the end
	Before     Usage         `json:"usage_before"`
	After      Usage         `json:"usage_after"`
}

// RowReport is what became of one row of docs/faults.md.
type RowReport struct {
	Row      int      `json:"row"`
	Fault    string   `json:"fault"`
	Runs     int64    `json:"runs"`
	Failed   int64    `json:"failed"`
	Failures []string `json:"failures,omitempty"` // the first ones
	Figures  []Figure `json:"figures,omitempty"`
	Remark   string   `json:"remark,omitempty"`
}

// add counts one performance.
func (r *RowReport) add(err error, notes []Figure) {
	r.Runs++
	for _, n := range notes {
		r.keep(n)
	}
	if err == nil {
		return
	}
	r.Failed++
	if len(r.Failures) < maxNotes {
		r.Failures = append(r.Failures, err.Error())
	}
}

// keep remembers the worst time of each name.
func (r *RowReport) keep(f Figure) {
	for i := range r.Figures {
		if r.Figures[i].Name == f.Name {
			r.Figures[i].Worst = max(r.Figures[i].Worst, f.Worst)
			return
		}
	}
	r.Figures = append(r.Figures, f)
}

// judge sets Pass and sorts the rows.
func (r *Report) judge() {
	sort.Slice(r.Rows, func(i, j int) bool { return r.Rows[i].Row < r.Rows[j].Row })
	r.Pass = len(r.Failures) == 0
	for _, row := range r.Rows {
		r.Pass = r.Pass && row.Failed == 0 && row.Runs > 0
	}
}

// WriteTable writes the report for people.
func (r *Report) WriteTable(out io.Writer) error {
	w := &errWriter{w: out}
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	_, _ = fmt.Fprintf(t, "row\tfault\truns\t\tworst figures (promised)\n")
	for _, row := range r.Rows {
		_, _ = fmt.Fprintf(t, "%d\t%s\t%d\t%s\t%s\n", row.Row, row.Fault, row.Runs, row.verdict(), row.figures())
	}
	_ = t.Flush()
	_, _ = fmt.Fprintf(w, "\nrequests     %d right (%d MiB compared), %d refused, %d broken, %d wrong\n"+
		"side effects %d requests with side effects were followed\n", r.Requests["right"], r.Bytes>>20,
		r.Requests["refused"], r.Requests["broken"], r.Requests["wrong"], r.SideEffects)
	_, _ = fmt.Fprintf(w, "https        %d connections of HTTP clients were TLS that Weir terminated\n"+
		"storms       %d of %d connections at once\n", r.Encrypted, r.Storms, stormSize)
	_, _ = fmt.Fprintf(w, "recovery     %s after the last fault\n", round(r.Recovery))
	_, _ = fmt.Fprintf(w, "given back   goroutines %d, then %d; descriptors %d, then %d (and %d of pipes kept); "+
		"heap %.1f, then %.1f MiB\n\n",
		r.Before.Goroutines, r.After.Goroutines, r.Before.Descriptors, r.After.Descriptors, r.After.Pipes,
		mib(r.Before.Heap), mib(r.After.Heap))
	t = tabwriter.NewWriter(w, 0, 8, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintf(t, "bystanders\trequests\tcalm p50\tp99\ttorture p50\tp99\t\n")
	for _, b := range r.Bystanders {
		_, _ = fmt.Fprintf(t, "%s\t%d\t%.2f ms\t%.2f ms\t%.2f ms\t%.2f ms\t\n",
			b.Name, b.Requests, b.CalmP50/1000, b.CalmP99/1000, b.P50/1000, b.P99/1000)
	}
	_ = t.Flush()
	_, _ = fmt.Fprintf(w, "p99 under torture to calm, beyond what the machine does to those without Weir: %.2f\n\n",
		r.Slowdown)
	for _, row := range r.Rows {
		for _, f := range row.Failures {
			_, _ = fmt.Fprintf(w, "row %d: %s\n", row.Row, f)
		}
	}
	for _, f := range r.Failures {
		_, _ = fmt.Fprintf(w, "%s\n", f)
	}
	verdict := "pass"
	if !r.Pass {
		verdict = "FAIL"
	}
	_, _ = fmt.Fprintf(w, "%s: seed %d, %s\n", verdict, r.Seed, round(r.Took))
	return w.err
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }

func (r *RowReport) verdict() string {
	if r.Failed > 0 {
		return fmt.Sprintf("FAIL %d", r.Failed)
	}
	if r.Runs == 0 {
		return "not run"
	}
	return "pass"
}

func (r *RowReport) figures() string {
	var parts []string
	for _, f := range r.Figures {
		parts = append(parts, fmt.Sprintf("%s %s (%s)", f.Name, round(f.Worst), f.Promise))
	}
	if r.Remark != "" {
		parts = append(parts, r.Remark)
	}
	return strings.Join(parts, ", ")
}

// errWriter keeps the first error of many writes.
type errWriter struct {
	w   io.Writer
	err error
}

func (w *errWriter) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	n, err := w.w.Write(p)
	if err != nil {
		w.err = fmt.Errorf("cannot print: %w", err)
	}
	return n, w.err
}
