package metric

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

const referenceHead = "# Metrics\n" + `
The admin side prints these at /metrics in the text format of Prometheus. This page is written by
"weir docs metrics" from the definitions in pool/metric; do not edit it.

Counters end in _total and start at zero with the process. Times are in seconds, sizes in bytes. A metric
keeps at most %d sets of label values apart, unless it says otherwise; further ones are counted together
under the value "%s", and %s says so. No label takes a value from a client.
`

const referenceHistograms = `
## Histograms

A histogram NAME is printed as NAME_bucket{le="..."}, NAME_sum and NAME_count. The bounds of its buckets, in
seconds, are:

%s

%s holds one event in %d, taken at random.
`

const referenceProcess = `
## Go and the process

go_* and process_* come from the library VictoriaMetrics/metrics and are
[documented there](https://pkg.go.dev/github.com/VictoriaMetrics/metrics#WriteProcessMetrics): memory, garbage
collection, goroutines and scheduling latency, CPU time, resident memory, descriptors open and allowed.
`

// Reference returns the documentation of all metrics, docs/metrics.md.
func Reference() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, referenceHead, DefaultMaxSets, other, "`"+MetricOverflow.Name+"`")
	for _, area := range []struct {
		title string
		defs  []*Def
	}{
		{"Process", processDefs},
		{"L4", l4Defs},
		{"L4: UDP", udpDefs},
		{"L7", l7Defs},
		{"L7: cache", cacheDefs},
		{"L7: compression", compressDefs},
		{"Backends", backendDefs},
	} {
		b.WriteString("\n## " + area.title + "\n\n| Metric | Type | Labels | Meaning |\n|---|---|---|---|\n")
		for _, d := range area.defs {
			writeRow(&b, d)
		}
	}
	les := make([]string, 0, len(bounds))
	for _, d := range bounds {
		les = append(les, strconv.FormatFloat(d.Seconds(), 'g', -1, 64))
	}
	fmt.Fprintf(&b, referenceHistograms, strings.Join(les, ", "), "`"+StageSeconds.Name+"`", SampleEvery)
	b.WriteString(referenceProcess)
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
