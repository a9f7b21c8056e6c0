package e2e

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestMetricsAreDocumented: every metric of ours that a running Weir shows is in
// docs/metrics.md, and is named by the rules of Prometheus: counters end in _total,
// units are seconds and bytes.
func TestMetricsAreDocumented(t *testing.T) {
	o, l7, l4 := startOrigin(t, "a"), freeAddr(t), freeAddr(t)
	w := startWeir(t, pool("app", o.addr)+web(l7, "app")+tcp(l4, "app"))
	c := newClient(t)
	c.wantBody("http://"+l7+"/name", "a")
	c.wantBody("http://"+l4+"/name", "a")
	_, text, err := w.call("GET", "/metrics", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	page := readFile(t, filepath.Join(root(t), "docs", "metrics.md"))
	kinds := regexp.MustCompile(`(?m)^# TYPE (\S+) (\S+)$`).FindAllStringSubmatch(text, -1)
	ours := 0
	for _, m := range kinds {
		name, kind := m[1], m[2]
		if !strings.HasPrefix(name, "weir_") {
			continue
		}
		ours++
		if !strings.Contains(page, "`"+name+"`") {
			t.Errorf("%s is not in docs/metrics.md", name)
		}
		if (kind == "counter") != strings.HasSuffix(name, "_total") {
			t.Errorf("%s is a %s", name, kind)
		}
		for _, unit := range []string{"_ms", "_millis", "_minutes", "_kb", "_kib", "_mb"} {
			if strings.Contains(name, unit) {
				t.Errorf("%s: the unit is seconds or bytes", name)
			}
		}
	}
	if ours < 20 {
		t.Errorf("%d metrics of ours in\n%s", ours, text)
	}
}
