package metric

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/VictoriaMetrics/metrics"
)

// other stands for all label sets beyond the maximum.
const other = "other"

// family holds the label sets of one Def. The VictoriaMetrics set behind it names,
// sorts and prints them; one set per family, because # HELP and # TYPE stand
// between families and the library prints no help text.
type family struct {
	def *Def
	set *metrics.Set

	mu       sync.RWMutex
	children map[string]*child // by setKey
}

// child is one label set with the value of the family's kind.
type child struct {
	name      string // with labels, as printed
	counter   Counter
	gauge     Gauge
	histogram *Histogram
	fn        func() float64 // not nil: the value comes from here
}

func newFamily(d *Def) *family {
	f := &family{def: d, set: metrics.NewSet(), children: make(map[string]*child)}
	if d.Kind == KindHistogram {
		f.set.RegisterMetricsWriter(f.writeHistograms)
	}
	return f
}

// get returns the child with these label values and makes it if need be.
func (f *family) get(r *Registry, lv []string) *child {
	var buf [128]byte
	key := setKey(buf[:0], lv)
	f.mu.RLock()
	c := f.children[string(key)]
	f.mu.RUnlock()
	if c != nil {
		return c
	}
	if len(lv) != len(f.def.Labels) {
		panic(fmt.Sprintf("BUG: metric %s has %d labels, got %d values", f.def.Name, len(f.def.Labels), len(lv)))
	}
	c, overflow := f.add(string(key), lv)
	if overflow {
		r.Counter(MetricOverflow, f.def.Name).Inc()
	}
	return c
}

// add makes the child of a new label set, or returns the shared one where there
// is no room for another.
func (f *family) add(key string, lv []string) (c *child, overflow bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c = f.children[key]; c != nil {
		return c, false
	}
	if len(f.children) >= f.def.maxSets() {
		overflow = true
		lv = f.others()
		key = string(setKey(nil, lv))
		if c = f.children[key]; c != nil {
			return c, true
		}
	}
	c = &child{name: f.def.Name + labelString(f.def.Labels, lv)}
	f.children[key] = c
	switch f.def.Kind {
	case KindCounter:
		f.set.NewGauge(c.name, func() float64 { return f.value(c) })
	case KindGauge:
		f.set.NewGauge(c.name, func() float64 { return f.value(c) })
	case KindHistogram:
		c.histogram = new(Histogram)
	}
	return c, overflow
}

// value reads a counter or a gauge.
func (f *family) value(c *child) float64 {
	f.mu.RLock()
	fn := c.fn
	f.mu.RUnlock()
	switch {
	case fn != nil:
		return fn()
	case f.def.Kind == KindCounter:
		return float64(c.counter.Load())
	default:
		return float64(c.gauge.Load())
	}
}

func (f *family) setFunc(r *Registry, fn func() float64, lv []string) {
	c := f.get(r, lv)
	f.mu.Lock()
	defer f.mu.Unlock()
	// The shared child is the sum of many sets; one function cannot speak for them.
	if len(lv) == 0 || c != f.children[string(setKey(nil, f.others()))] {
		c.fn = fn
	}
}

func (f *family) drop(lv []string) {
	key := string(setKey(nil, lv))
	f.mu.Lock()
	defer f.mu.Unlock()
	if c := f.children[key]; c != nil {
		delete(f.children, key)
		f.set.UnregisterMetric(c.name)
	}
}

func (f *family) others() []string {
	lv := make([]string, len(f.def.Labels))
	for i := range lv {
		lv[i] = other
	}
	return lv
}

// setKey appends the label values to b, each with its length before it, so that
// no two sets have one key.
func setKey(b []byte, lv []string) []byte {
	for _, v := range lv {
		b = strconv.AppendInt(b, int64(len(v)), 10)
		b = append(b, ':')
		b = append(b, v...)
	}
	return b
}

// labelString gives {name="value",...} with the values escaped, "" without labels.
func labelString(names, values []string) string {
	if len(names) == 0 {
		return ""
	}
	escape := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)
	var sb strings.Builder
	for i, n := range names {
		sep := byte(',')
		if i == 0 {
			sep = '{'
		}
		sb.WriteByte(sep)
		sb.WriteString(n + `="` + escape.Replace(strings.ToValidUTF8(values[i], "\uFFFD")) + `"`)
	}
	sb.WriteByte('}')
	return sb.String()
}

func (f *family) write(w io.Writer) {
	f.mu.RLock()
	n := len(f.children)
	f.mu.RUnlock()
	if n == 0 {
		return
	}
	help := strings.NewReplacer(`\`, `\\`, "\n", `\n`).Replace(f.def.Help)
	_, _ = fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s %s\n", f.def.Name, help, f.def.Name, f.def.Kind)
	f.set.WritePrometheus(w)
}
