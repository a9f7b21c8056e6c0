package bench

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// WriteTable writes the calibration for people, as Markdown that is legible as it is.
func (c *Calibration) WriteTable(w io.Writer) error {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("Medians of %d rounds of %g s each, in turn, on %s, %s. Each generator has one thread on one CPU,",
		c.Rounds, c.Time, c.Processor, c.Kernel)
	line("the server another. The spread is that of the rounds' ratios. The ratio by CPU is that of the rates which")
	line("the CPU time of a unit allows, the generator's or the server's, whichever is more: other programs change it")
	line("little.\n")
	c.writeFigures(&b)
	b.WriteByte('\n')
	for _, x := range c.Comparisons {
		line("- %s against %s: %s", x.Job, x.Rival, x.Reason)
	}
	if p := c.Proxy; p != nil {
		b.WriteByte('\n')
		p.write(&b)
	}
	line("\n```")
	for _, x := range c.Comparisons {
		line("%s\n%s", x.Command, x.Against)
	}
	line("```")
	if len(c.Missing) > 0 {
		line("\nLeft out, because not installed: %s.", strings.Join(c.Missing, ", "))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (c *Calibration) writeFigures(b *strings.Builder) {
	rates := [][]string{{
		"job", "against", "ours", "theirs", "ratio", "spread", "ratio by CPU", "p99 ours", "p99 theirs",
	}}
	cpus := [][]string{{
		"job", "CPU ours", "CPU theirs", "ratio", "server CPU ours", "server CPU theirs",
		"generator busy", "server busy",
	}}
	for _, x := range c.Comparisons {
		ratios, ours, theirs := x.ratios(), typical(x.Ours), typical(x.Theirs)
		unit := strings.TrimSuffix(x.Unit, "s")
		us := func(v float64) string { return fmt.Sprintf("%.2f µs/%s", v, unit) }
		late := func(v float64) string {
			if v == 0 {
				return "" // the rival does not tell, or there are no requests
			}
			return fmt.Sprintf("%.0f µs", v)
		}
		both := func(a, b float64) string { return fmt.Sprintf("%.0f %%, %.0f %%", 100*a, 100*b) }
		p99, theirP99 := late(ours.P99), late(theirs.P99)
		if theirs.P99 == 0 {
			p99 = "" // there is nothing to compare it with
		}
		rates = append(rates, []string{
			x.Job, x.Rival, fmt.Sprintf("%.0f %s/s", ours.Rate, x.Unit), fmt.Sprintf("%.0f", theirs.Rate),
			fmt.Sprintf("%.3f", median(ratios)), fmt.Sprintf("%.3f-%.3f", slices.Min(ratios), slices.Max(ratios)),
			fmt.Sprintf("%.2f", ours.limit()/theirs.limit()), p99, theirP99,
		})
		cpus = append(cpus, []string{
			x.Job, us(ours.CPU), us(theirs.CPU), fmt.Sprintf("%.2f", ours.CPU/theirs.CPU),
			us(ours.Server), us(theirs.Server), both(ours.Busy, theirs.Busy), both(ours.ServerBusy, theirs.ServerBusy),
		})
	}
	writeRows(b, rates)
	b.WriteByte('\n')
	writeRows(b, cpus)
}

// writeRows writes a Markdown table; the first row is its head.
func writeRows(b *strings.Builder, rows [][]string) {
	width := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	for k, row := range rows {
		b.WriteByte('|')
		for i, cell := range row {
			fmt.Fprintf(b, " %s%s |", cell, strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell)))
		}
		b.WriteByte('\n')
		if k > 0 {
			continue
		}
		b.WriteByte('|')
		for _, n := range width {
			b.WriteString(strings.Repeat("-", n+2) + "|")
		}
		b.WriteByte('\n')
	}
}
