package report

import (
	"bytes"
	"fmt"
	"strings"
)

const (
	// Title is that of all pages.
	Title = "Benchmarks"

	howRead = `Every proxy did the same job, in front of the same origin, with as many workers as it had CPUs and
without an access log; connections to the origin were kept. The proxy was alone on its CPU; generator and origin were
on another. The proxies took turns in every round (A B C A B C ...), and each run had a process of its own.

- **CPU** is user and system time of the proxy and its children, over the units of work done. **Throughput** is that
  of a closed loop, unless a rate is named. Both are medians of the rounds.
- **to the best peer** is the ratio to the best proxy other than Weir, formed round by round: its median, and its
  smallest and largest value, which is the noise. CPU and memory: below 1 is better. Throughput: above 1 is better.
- **idle** is the proportional set size after the start; **peak** is the largest resident set size, summed over the
  processes of the proxy.
- **bound by** says what held back the runs of Weir, from its own timings and the CPU of every process: the client,
  the network, the proxy or the backend. For that its metrics are read three times in a run, on its own account.
- A run in which the generator may have been the bottleneck says so under its table. The generator itself is held
  against wrk, h2load and iperf3 in [calibration.md](calibration.md).`
)

// Intro describes where and when, as a list of label and text.
func (d *Document) Intro() [][2]string {
	versions := make([]string, len(d.Peers))
	for i, p := range d.Peers {
		versions[i] = p.Name + " " + p.Version
	}
	m := &d.Machine
	return [][2]string{
		{"Date", d.Made.UTC().Format("2006-01-02")},
		{"Commit", d.Commit},
		{"Machine", fmt.Sprintf("%s, %d CPUs, %s", m.CPU, m.CPUs, mebibytes(float64(m.Memory)))},
		{"Kernel", m.Kernel},
		{"Proxies", strings.Join(versions, ", ")},
		{"Rounds", fmt.Sprint(d.Rounds)},
	}
}

// Under is the line below a table: how it was measured.
func (s *Scenario) Under() string {
	text := s.Cores
	if !s.Idle() {
		text += fmt.Sprintf("; %s each", seconds(s.Duration))
	}
	return text + fmt.Sprintf("; load average before: %.2f", s.Busy)
}

// Markdown gives the page for docs. reproduce is the command that writes it again,
// and htmlName is the page with plots beside it, or "".
func (d *Document) Markdown(reproduce, htmlName string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# %s\n\nThis page is written by `%s`; do not edit it.\n", Title, reproduce)
	if htmlName != "" {
		fmt.Fprintf(&b, "The same with plots: [%s](%[1]s).\n", htmlName)
	}
	b.WriteString("\n| | |\n|---|---|\n")
	for _, line := range d.Intro() {
		fmt.Fprintf(&b, "| %s | %s |\n", line[0], cell(line[1]))
	}
	b.WriteString("\n" + howRead + "\n")
	d.summary(&b)
	for i := range d.Scenarios {
		d.Scenarios[i].markdown(&b)
	}
	return b.Bytes()
}

// summary is one line for each scenario.
func (d *Document) summary(b *bytes.Buffer) {
	b.WriteString("\n## Summary\n\nWeir against the best peer of each scenario.\n\n" +
		"| Scenario | CPU, or memory | best peer | Throughput | best peer | Weir bound by |\n" +
		"|---|---|---|---|---|---|\n")
	for i := range d.Scenarios {
		s := &d.Scenarios[i]
		cpuBest, rateBest, bound, weir := "-", "-", "-", Figures{}
		for k := range s.Proxies {
			if p := &s.Proxies[k]; p.Name == Subject && p.Bound() != "" {
				bound = p.Bound()
			}
		}
		for _, f := range s.Figures() {
			if f.BestCPU {
				cpuBest = f.Name
			}
			if f.BestRate {
				rateBest = f.Name
			}
			if f.Name == Subject {
				weir = f
			}
		}
		fmt.Fprintf(b, "| [%s](#%[1]s) | %s | %s | %s | %s | %s |\n", s.Name, ratio(weir.CPURatio), cpuBest,
			ratio(weir.RateRatio), rateBest, bound)
	}
}

func (s *Scenario) markdown(b *bytes.Buffer) {
	fmt.Fprintf(b, "\n## %s\n\n%s\n\n%s.\n\n", s.Name, s.Shows, s.Job)
	for i, t := range s.Tables() {
		if t.Title != "" {
			fmt.Fprintf(b, "\n%s\n\n", t.Title)
		}
		writeRow(b, t.Head)
		b.WriteString(strings.Repeat("|---", len(t.Head)) + "|\n")
		for _, row := range t.Rows {
			writeRow(b, row)
		}
		if i == 0 {
			fmt.Fprintf(b, "\n%s.\n", s.Under())
		}
		for _, n := range t.Notes {
			fmt.Fprintf(b, "\n- %s", n)
		}
		if len(t.Notes) > 0 {
			b.WriteByte('\n')
		}
	}
	fmt.Fprintf(b, "\n```sh\n%s\n", s.Command)
	if s.Load != "" {
		fmt.Fprintf(b, "# for each run: %s\n", s.Load)
	}
	b.WriteString("```\n")
}

func writeRow(b *bytes.Buffer, row []string) {
	for _, c := range row {
		b.WriteString("| " + cell(c) + " ")
	}
	b.WriteString("|\n")
}

func cell(s string) string { return strings.NewReplacer("|", `\|`, "\n", " ").Replace(s) }
