package report

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// number gives three digits, or all before the point.
func number(v float64) string {
	switch a := math.Abs(v); {
	case a == 0:
		return "0"
	case a >= 100:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// micros gives a time in its natural unit.
func micros(us float64) string {
	switch {
	case us == 0:
		return "-"
	case us >= 1e6:
		return number(us/1e6) + " s"
	case us >= 1e3:
		return number(us/1e3) + " ms"
	}
	return number(us) + " µs"
}

// rate gives units per second.
func rate(v float64, unit string) string {
	if unit == Gigabytes {
		return fmt.Sprintf("%.2f GB/s", v)
	}
	return fmt.Sprintf("%.0f/s", v)
}

// cost gives the CPU time of a unit.
func cost(us float64, unit string) string {
	if unit == Gigabytes {
		return fmt.Sprintf("%.3f s", us/1e6)
	}
	return number(us) + " µs"
}

func mebibytes(b float64) string { return number(b/(1<<20)) + " MiB" }

func kibibytes(b float64) string { return number(b/(1<<10)) + " KiB" }

// ratio gives a ratio with the bounds of its rounds.
func ratio(s Spread) string {
	if s.Median == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f (%.2f-%.2f)", s.Median, s.Min, s.Max)
}

func seconds(s float64) string { return time.Duration(s * float64(time.Second)).String() }

// Table is what pages show of a scenario.
type Table struct {
	Title string // "": the main one
	Head  []string
	Rows  [][]string
	Notes []string // lines under it
}

// Table gives the figures of the scenario as text.
func (s *Scenario) Table() Table {
	if s.Idle() {
		return s.memoryTable()
	}
	t := Table{Head: []string{
		"Proxy", "CPU per " + s.Unit, "to the best peer", "Throughput", "to the best peer",
		"p50", "p99", "p99.9", "idle", "peak", "failed",
	}}
	t.Notes = s.Notes()
	for _, f := range s.Figures() {
		t.Rows = append(t.Rows, []string{
			f.Name, cost(f.CPU.Median, s.Unit), ratio(f.CPURatio), rate(f.Rate.Median, s.Unit), ratio(f.RateRatio),
			micros(f.P50.Median), micros(f.P99.Median), micros(f.P999.Median),
			mebibytes(f.IdlePSS.Median), mebibytes(f.PeakRSS.Median), fmt.Sprint(f.Failed),
		})
	}
	return t
}

func (s *Scenario) memoryTable() Table {
	t := Table{Head: []string{"Proxy", "per connection", "to the best peer"}, Notes: s.Notes()}
	var counts []int
	for _, p := range s.Proxies {
		for _, m := range p.Memory {
			if !slices.Contains(counts, m.Connections) {
				counts = append(counts, m.Connections)
			}
		}
	}
	for _, n := range counts {
		t.Head = append(t.Head, fmt.Sprintf("at %d", n))
	}
	figures := s.Figures()
	for i, p := range s.Proxies {
		row := []string{p.Name, kibibytes(figures[i].PerConn.Median), ratio(figures[i].CPURatio)}
		for _, n := range counts {
			row = append(row, mebibytes(p.MemoryAt(n).Median))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// MemoryAt is the memory in bytes at a number of connections, over the rounds.
func (p *Proxy) MemoryAt(connections int) Spread {
	var values []float64
	for _, m := range p.Memory {
		if m.Connections == connections {
			values = append(values, float64(m.PSS))
		}
	}
	return spread(values)
}

// Notes are the lines under the main table.
func (s *Scenario) Notes() []string {
	notes := s.notes("")
	for _, l := range s.LeftOut {
		notes = append(notes, "left out: "+l)
	}
	return notes
}

// notes are those of the rounds, by proxy; when says which rounds.
func (s *Scenario) notes(when string) []string {
	var notes []string
	for _, f := range s.Figures() {
		for _, n := range f.Notes {
			notes = append(notes, f.Name+": "+when+n)
		}
	}
	return notes
}

// WriteText writes a scenario for a terminal.
func (s *Scenario) WriteText(b *strings.Builder) {
	fmt.Fprintf(b, "%s: %s\n", s.Name, s.Job)
	for _, t := range s.Tables() {
		if t.Title != "" {
			fmt.Fprintf(b, "\n%s\n", t.Title)
		}
		t.writeText(b)
	}
}

func (t *Table) writeText(b *strings.Builder) {
	widths := make([]int, len(t.Head))
	for _, row := range append([][]string{t.Head}, t.Rows...) {
		for i, c := range row {
			widths[i] = max(widths[i], len([]rune(c)))
		}
	}
	for _, row := range append([][]string{t.Head}, t.Rows...) {
		for i, c := range row {
			if i == len(row)-1 {
				b.WriteString(c)
				continue
			}
			b.WriteString(c + strings.Repeat(" ", widths[i]-len([]rune(c))+2))
		}
		b.WriteByte('\n')
	}
	for _, n := range t.Notes {
		b.WriteString("  " + n + "\n")
	}
}
