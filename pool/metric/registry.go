package metric

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/VictoriaMetrics/metrics"
)

// Registry keeps the values of all metrics of one Weir. Its methods may be
// called from any number of goroutines. Methods that take label values want
// exactly as many as the Def has labels; another number, or a Def of another
// kind, is a bug of the caller and panics.
type Registry struct {
	mu       sync.RWMutex
	families map[*Def]*family
}

// New returns a registry that already shows the state of the package pool.
func New() *Registry {
	r := &Registry{families: make(map[*Def]*family)}
	registerBuffers(r)
	return r
}

// Counter returns the counter of d with these label values and makes it at first
// use. Once d holds its maximum of label sets, all further ones share one counter
// whose label values are "other". It allocates nothing when the counter exists.
func (r *Registry) Counter(d *Def, labelValues ...string) *Counter {
	return &r.family(d, KindCounter).get(r, labelValues).counter
}

// Gauge is Counter for gauges.
func (r *Registry) Gauge(d *Def, labelValues ...string) *Gauge {
	return &r.family(d, KindGauge).get(r, labelValues).gauge
}

// Histogram is Counter for histograms.
func (r *Registry) Histogram(d *Def, labelValues ...string) *Histogram {
	return r.family(d, KindHistogram).get(r, labelValues).histogram
}

// CounterFunc shows the value of fn under these label values, for counters that
// are kept elsewhere, such as one per loop. fn is called at each scrape and must
// not call the registry. A second call replaces the function. Beyond the maximum
// of label sets the function is left out.
func (r *Registry) CounterFunc(d *Def, fn func() uint64, labelValues ...string) {
	f := r.family(d, KindCounter)
	f.setFunc(r, func() float64 { return float64(fn()) }, labelValues)
}

// GaugeFunc is CounterFunc for gauges.
func (r *Registry) GaugeFunc(d *Def, fn func() float64, labelValues ...string) {
	r.family(d, KindGauge).setFunc(r, fn, labelValues)
}

// Unregister drops one label set, as of a backend that a reload removed. Pointers
// to its values stay usable but are no longer shown. Unknown sets are ignored.
func (r *Registry) Unregister(d *Def, labelValues ...string) {
	r.family(d, d.Kind).drop(labelValues)
}

// WritePrometheus prints all metrics in the text format of Prometheus, sorted by
// name, each family with its # HELP and # TYPE, and after them those of the Go
// runtime and the process (go_*, process_*). Errors of w are not reported: a
// scraper that went away needs no answer.
func (r *Registry) WritePrometheus(w io.Writer) {
	r.mu.RLock()
	all := make([]*family, 0, len(r.families))
	for _, f := range r.families {
		all = append(all, f)
	}
	r.mu.RUnlock()
	slices.SortFunc(all, func(a, b *family) int { return cmp.Compare(a.def.Name, b.def.Name) })
	for _, f := range all {
		f.write(w)
	}
	metrics.WriteProcessMetrics(w)
	metrics.WriteFDMetrics(w)
}

func (r *Registry) family(d *Def, k Kind) *family {
	if d.Kind != k {
		panic(fmt.Sprintf("BUG: metric %s is a %s, used as a %s", d.Name, d.Kind, k))
	}
	r.mu.RLock()
	f := r.families[d]
	r.mu.RUnlock()
	if f != nil {
		return f
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if f = r.families[d]; f == nil {
		f = newFamily(d)
		r.families[d] = f
	}
	return f
}
