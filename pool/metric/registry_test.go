package metric

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	testCounter = &Def{Name: "weir_test_total", Kind: KindCounter, Labels: []string{"a", "b"}, Help: "A test."}
	testPlain   = &Def{Name: "weir_plain_total", Kind: KindCounter, Help: "No labels."}
	testGauge   = &Def{Name: "weir_test_gauge", Kind: KindGauge, Labels: []string{"a"}, Help: "With \\ and\nline."}
	testHist    = &Def{Name: "weir_test_seconds", Kind: KindHistogram, Labels: []string{"a"}, Help: "Times."}
	testBare    = &Def{Name: "weir_bare_seconds", Kind: KindHistogram, Help: "Times."}
	testSmall   = &Def{Name: "weir_small_total", Kind: KindCounter, Labels: []string{"a"}, MaxSets: 3, Help: "Few."}
	testSmallFn = &Def{Name: "weir_small_gauge", Kind: KindGauge, Labels: []string{"a"}, MaxSets: 1, Help: "Few."}
)

func expose(r *Registry) string {
	var b bytes.Buffer
	r.WritePrometheus(&b)
	return b.String()
}

// lines returns the lines of the family with this name, metadata included.
func lines(text, family string) string {
	var b strings.Builder
	for l := range strings.Lines(text) {
		f := strings.Fields(strings.NewReplacer("{", " ", "# HELP ", "", "# TYPE ", "").Replace(l))
		if f[0] == family || f[0] == family+"_bucket" || f[0] == family+"_sum" || f[0] == family+"_count" {
			b.WriteString(l)
		}
	}
	return b.String()
}

func TestExposition(t *testing.T) {
	r := New()
	r.Counter(testCounter, "x", "y").Add(3)
	r.Counter(testCounter, "x", "y").Inc()
	r.Counter(testCounter, `q"b\s`, "new\nline \xff").Inc()
	r.Counter(testPlain).Add(1 << 40)
	r.Gauge(testGauge, "up").Set(-7)
	r.GaugeFunc(testGauge, func() float64 { return 0.25 }, "fn")
	h := r.Histogram(testHist, "x")
	h.Observe(10 * time.Microsecond)
	h.Observe(11 * time.Microsecond)
	h.Observe(2 * time.Minute)
	r.Histogram(testBare).Observe(-time.Second)
	text := expose(r)

	f := func(family, want string) {
		t.Helper()
		if got := lines(text, family); got != want {
			t.Errorf("%s:\n%swant\n%s", family, got, want)
		}
	}
	f("weir_test_total", `# HELP weir_test_total A test.
# TYPE weir_test_total counter
weir_test_total{a="q\"b\\s",b="new\nline `+"\uFFFD"+`"} 1
weir_test_total{a="x",b="y"} 4
`)
	f("weir_plain_total", `# HELP weir_plain_total No labels.
# TYPE weir_plain_total counter
weir_plain_total 1099511627776
`)
	f("weir_test_gauge", `# HELP weir_test_gauge With \\ and\nline.
# TYPE weir_test_gauge gauge
weir_test_gauge{a="fn"} 0.25
weir_test_gauge{a="up"} -7
`)
	hist := lines(text, "weir_test_seconds")
	for _, want := range []string{
		"# TYPE weir_test_seconds histogram\n",
		`weir_test_seconds_bucket{a="x",le="1e-05"} 1` + "\n",
		`weir_test_seconds_bucket{a="x",le="2.5e-05"} 2` + "\n",
		`weir_test_seconds_bucket{a="x",le="60"} 2` + "\n",
		`weir_test_seconds_bucket{a="x",le="+Inf"} 3` + "\n",
		`weir_test_seconds_sum{a="x"} 120.000021` + "\n",
		`weir_test_seconds_count{a="x"} 3` + "\n",
	} {
		if !strings.Contains(hist, want) {
			t.Errorf("histogram lacks %q:\n%s", want, hist)
		}
	}
	bare := lines(text, "weir_bare_seconds")
	if !strings.Contains(bare, `weir_bare_seconds_bucket{le="1e-05"} 1`+"\n") ||
		!strings.Contains(bare, "weir_bare_seconds_sum 0\nweir_bare_seconds_count 1\n") {
		t.Errorf("histogram without labels:\n%s", bare)
	}
	for _, want := range []string{
		"go_goroutines ", "process_resident_memory_bytes ", "process_open_fds ", "go_gc_pauses_seconds",
	} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("%q is not exposed", want)
		}
	}
	checkFormat(t, text)
}

const (
	labelPattern = `[a-zA-Z_]\w*="(?:[^"\\\n]|\\[\\"n])*"`
	namePattern  = `[a-zA-Z_:][a-zA-Z0-9_:]*`
)

var sample = regexp.MustCompile(`^(` + namePattern + `)(\{` + labelPattern + `(?:, ?` + labelPattern + `)*\})? (\S+)$`)

// checkFormat reads the whole exposition as strictly as a Prometheus server does,
// and asks for HELP and TYPE before each family of ours.
func checkFormat(t *testing.T, text string) {
	t.Helper()
	if !strings.HasSuffix(text, "\n") {
		t.Error("the last line does not end")
	}
	kind := make(map[string]string)
	series := make(map[string]bool)
	var current string
	for l := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		if name, typ, ok := strings.Cut(strings.TrimPrefix(l, "# TYPE "), " "); ok && strings.HasPrefix(l, "# TYPE ") {
			if kind[name] != "" {
				t.Errorf("second TYPE of %s", name)
			}
			kind[name], current = typ, name
			continue
		}
		if strings.HasPrefix(l, "# HELP ") {
			continue
		}
		m := sample.FindStringSubmatch(l)
		if m == nil {
			t.Errorf("not a sample: %q", l)
			continue
		}
		if _, err := strconv.ParseFloat(m[3], 64); err != nil {
			t.Errorf("not a number in %q", l)
		}
		if series[m[1]+m[2]] {
			t.Errorf("second sample of %s%s", m[1], m[2])
		}
		series[m[1]+m[2]] = true
		if !strings.HasPrefix(m[1], "weir_") {
			continue
		}
		family := m[1]
		if kind[current] == "histogram" {
			for _, s := range []string{"_bucket", "_sum", "_count"} {
				family = strings.TrimSuffix(family, s)
			}
		}
		if family != current {
			t.Errorf("%s stands under the TYPE of %s", m[1], current)
		}
	}
}

func TestLabelSetsAreBounded(t *testing.T) {
	r := New()
	for i := range 100 {
		r.Counter(testSmall, strconv.Itoa(i)).Inc()
	}
	text := expose(r)
	want := `# HELP weir_small_total Few.
# TYPE weir_small_total counter
weir_small_total{a="0"} 1
weir_small_total{a="1"} 1
weir_small_total{a="2"} 1
weir_small_total{a="other"} 97
`
	if got := lines(text, "weir_small_total"); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if got := r.Counter(MetricOverflow, testSmall.Name).Load(); got != 97 {
		t.Errorf("overflow counted %d times, want 97", got)
	}

	r.Unregister(testSmall, "1")
	r.Counter(testSmall, "new").Add(5)
	if got := lines(expose(r), "weir_small_total"); strings.Contains(got, `"1"`) || strings.Contains(got, "new") {
		// The shared set takes one of the places, so that three are still taken.
		t.Errorf("after one set was dropped:\n%s", got)
	}

	r.GaugeFunc(testSmallFn, func() float64 { return 1 }, "a")
	r.GaugeFunc(testSmallFn, func() float64 { return 2 }, "b")
	got := lines(expose(r), "weir_small_gauge")
	if !strings.Contains(got, `{a="a"} 1`) || strings.Contains(got, "} 2") {
		t.Errorf("functions beyond the bound:\n%s", got)
	}
}

func TestUnregister(t *testing.T) {
	r := New()
	c := r.Counter(testCounter, "x", "y")
	r.Histogram(testHist, "x")
	r.CounterFunc(testPlain, func() uint64 { return 1 })
	r.CounterFunc(testPlain, func() uint64 { return 2 })
	if got := lines(expose(r), "weir_plain_total"); !strings.Contains(got, "weir_plain_total 2\n") {
		t.Errorf("the second function did not replace the first:\n%s", got)
	}
	r.Unregister(testCounter, "x", "y")
	r.Unregister(testCounter, "never", "there")
	r.Unregister(testHist, "x")
	r.Unregister(testPlain)
	text := expose(r)
	for _, d := range []*Def{testCounter, testHist, testPlain} {
		if got := lines(text, d.Name); got != "" {
			t.Errorf("still exposed:\n%s", got)
		}
	}
	c.Inc() // must not crash
	if c2 := r.Counter(testCounter, "x", "y"); c2 == c || c2.Load() != 0 {
		t.Error("a set that comes back does not start anew")
	}
}

func TestWrongUseIsABug(t *testing.T) {
	f := func(call func(*Registry)) {
		t.Helper()
		defer func() {
			if p := fmt.Sprint(recover()); !strings.HasPrefix(p, "BUG: ") {
				t.Errorf("got %v, want a panic with BUG", p)
			}
		}()
		call(New())
	}
	f(func(r *Registry) { r.Counter(testCounter, "one") })
	f(func(r *Registry) { r.Counter(testCounter) })
	f(func(r *Registry) { r.Counter(testGauge, "x") })
	f(func(r *Registry) { r.Gauge(testHist, "x") })
}

func TestConcurrentUse(t *testing.T) {
	r := New()
	const workers, rounds = 8, 500
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range rounds {
				r.Counter(testCounter, strconv.Itoa(i%7), "z").Inc()
				r.Histogram(testHist, "h").Observe(time.Duration(i) * time.Microsecond)
				r.Gauge(testGauge, strconv.Itoa(w)).Add(1)
				if i%100 == 0 {
					checkFormat(t, expose(r))
					r.Unregister(testGauge, strconv.Itoa(w))
				}
			}
		})
	}
	wg.Wait()
	var n uint64
	for i := range 7 {
		n += r.Counter(testCounter, strconv.Itoa(i), "z").Load()
	}
	if want := uint64(workers * rounds); n != want || r.Histogram(testHist, "h").Count() != want {
		t.Errorf("counted %d and %d, want %d", n, r.Histogram(testHist, "h").Count(), want)
	}
}

func TestNoAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	r := New()
	c, g, h := r.Counter(testCounter, "x", "y"), r.Gauge(testGauge, "x"), r.Histogram(testHist, "x")
	var s Sampler
	f := func(name string, fn func()) {
		t.Helper()
		if n := testing.AllocsPerRun(100, fn); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
	f("use", func() { c.Inc(); g.Add(1); h.Observe(time.Millisecond); s.Take() })
	f("lookup", func() { r.Counter(testCounter, "x", "y").Inc() })
}

func TestQuantile(t *testing.T) {
	var h Histogram
	f := func(q float64, want time.Duration) {
		t.Helper()
		if got := h.Quantile(q); got != want {
			t.Errorf("quantile %v = %s, want %s", q, got, want)
		}
	}
	f(0.5, 0)
	for range 99 {
		h.Observe(3 * time.Millisecond)
	}
	h.Observe(time.Hour)
	f(0, 0)
	f(0.5, 5*time.Millisecond)
	f(0.99, 5*time.Millisecond)
	f(1, 1<<63-1)
}

func TestSampler(t *testing.T) {
	const tries = 64 * 1000
	n := 0
	for range tries {
		if (Sampler{}).Take() {
			n++
		}
		if !(Sampler{Every: 1}).Take() {
			t.Fatal("a sampler of every event left one out")
		}
	}
	// 1000 expected; five standard deviations are 157.
	if n < 800 || n > 1200 {
		t.Errorf("took %d of %d, want about 1 in %d", n, tries, SampleEvery)
	}
}

func BenchmarkCounter(b *testing.B) {
	c := New().Counter(testPlain)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			c.Inc()
		}
	})
}

func BenchmarkHistogram(b *testing.B) {
	h := New().Histogram(testBare)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			h.Observe(3 * time.Millisecond)
		}
	})
}

func BenchmarkLookup(b *testing.B) {
	r := New()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r.Counter(testCounter, "web", "2xx").Inc()
		}
	})
}
