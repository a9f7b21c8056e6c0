package metric

import (
	"bytes"
	"fmt"
	"strings"
)

// Reference returns the documentation of all metrics, docs/metrics.md.
func Reference() []byte {
	var b bytes.Buffer
	b.WriteString(`# Metrics

The admin side prints these at /metrics in the text format of Prometheus. This page is written by
` + "`weir docs metrics`" + ` from the definitions in pool/metric; do not edit it.

Counters end in ` + "`_total`" + ` and start at zero with the process. Times are in seconds, sizes in bytes. A metric keeps at
`)
	fmt.Fprintf(&b, "most %d sets of label values apart, unless it says otherwise; further ones are counted together under the\n",
		DefaultMaxSets)
	b.WriteString("value `" + other + "`, and `" + MetricOverflow.Name + "` says so. No label takes a value from a client.\n")
	for _, area := range []struct {
		title string
		defs  []*Def
	}{
		{"Process", processDefs},
		{"L4", l4Defs},
		{"L7", l7Defs},
		{"Backends", backendDefs},
	} {
		b.WriteString("\n## " + area.title + "\n\n| Metric | Type | Labels | Meaning |\n|---|---|---|---|\n")
		for _, d := range area.defs {
			writeRow(&b, d)
		}
	}
	b.WriteString(`
## Histograms

A histogram NAME is printed as ` + "`NAME_bucket{le=\"...\"}`, `NAME_sum` and `NAME_count`" + `. The bounds, in seconds, are
`)
	for i, d := range bounds {
		sep := ", "
		if i == len(bounds)-1 {
			sep = ".\n"
		} else if i == len(bounds)/2 {
			sep = ",\n"
		}
		fmt.Fprintf(&b, "%g%s", d.Seconds(), sep)
	}
	fmt.Fprintf(&b, "`%s` holds one event in %d, taken at random.\n", StageSeconds.Name, SampleEvery)
	b.WriteString(`
## Go and the process

` + "`go_*` and `process_*`" + ` come from the library
[VictoriaMetrics/metrics](https://pkg.go.dev/github.com/VictoriaMetrics/metrics#WriteProcessMetrics), which documents them: memory,
garbage collection, goroutines and scheduling latency, CPU time, resident memory, descriptors open and allowed.
`)
	return b.Bytes()
}

func writeRow(b *bytes.Buffer, d *Def) {
	help := d.Help
	if d.MaxSets > 0 {
		help += fmt.Sprintf(" At most %d sets of label values.", d.MaxSets)
	}
	labels := "none"
	if len(d.Labels) > 0 {
		labels = "`" + strings.Join(d.Labels, "`, `") + "`"
	}
	fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", d.Name, d.Kind, labels, strings.ReplaceAll(help, "|", `\|`))
}
