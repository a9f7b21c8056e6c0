package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"weir/bench/load"
	"weir/bench/peers"
	"weir/bench/report"
	"weir/conf"
)

// runGrace is how much longer than it should a generator may run.
const runGrace = 30 * time.Second

// run drives one proxy with the generator, which is a process of its own on CPUs of
// its own, and reads what it has measured.
func (m *match) run(ctx context.Context, p *player, due int) (*report.Round, error) {
	pids := p.proc.PIDs()
	out := &report.Round{Due: float64(due), IdlePSS: pssOf(pids)}
	args := append(loadArgs(m.s, p.address, due), "--json", "--process", strconv.Itoa(pids[0]))
	if p.admin != "" {
		args = append(args, "--weir-admin", "http://"+p.admin)
	}
	if len(m.cores.generator) > 0 {
		args = append(args, "--loops", strconv.Itoa(len(m.cores.generator)))
	}
	res, err := generate(ctx, m.contest.Weir, m.cores.generator, m.s.Warmup+m.s.Duration+runGrace, args)
	if err != nil {
		return nil, err
	}
	out.PeakRSS = peakOf(p.proc.PIDs())
	fill(out, m.s, &res.Result)
	out.Verdict = res.Verdict
	return out, nil
}

// generated is what weir bench run prints as JSON.
type generated struct {
	load.Result
	Verdict *report.Verdict `json:"verdict"` // nil: not asked for
}

// generate runs weir bench run. A result that is not valid is a result.
func generate(ctx context.Context, weir string, cpus []int, limit time.Duration, args []string) (*generated, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, weir, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = patience
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := peers.Pinned(cpus, cmd.Start); err != nil {
		return nil, fmt.Errorf("cannot start the generator: %w", err)
	}
	failure := cmd.Wait()
	if ctx.Err() != nil {
		return nil, fmt.Errorf("the generator was stopped: %w", ctx.Err())
	}
	res := &generated{}
	if err := json.Unmarshal(stdout.Bytes(), res); err != nil {
		return nil, fmt.Errorf("cannot read the generator's result: %w: %s",
			errors.Join(failure, err), bytes.TrimSpace(stderr.Bytes()))
	}
	return res, nil
}

// maxCurve bounds the points of a distribution that are kept.
const maxCurve = 48

// fill takes over what a report needs.
func fill(out *report.Round, s *conf.Scenario, res *load.Result) {
	out.P50, out.P99, out.P999 = res.Latency.P50, res.Latency.P99, res.Latency.P999
	out.Answered, out.Failed, out.Invalid = res.Answered, res.Failed.Total(), res.Invalid
	out.Rate = res.Rate
	bulk := unitOf(s) == report.Gigabytes
	if bulk {
		out.Rate = (res.RateIn + res.RateOut) / 1e9
		out.P50, out.P99, out.P999 = 0, 0, 0
	}
	if t := res.Target; t != nil {
		out.CPU, out.Busy = t.PerRequest, t.Share
		if bulk {
			out.CPU = t.PerByte * 1e6
		}
	} else {
		out.Invalid = append(out.Invalid, "the CPU time of the proxy is not known")
	}
	for i, p := range res.Latency.Curve {
		if every := len(res.Latency.Curve)/maxCurve + 1; !bulk && i%every == 0 {
			out.Curve = append(out.Curve, report.Point{Quantile: p.Quantile, Value: p.Value})
		}
	}
	out.Missed = missed(s, res)
	if res.Error != "" && out.Failed > 0 {
		out.Missed = append(out.Missed, "first error: "+withoutAddresses(res.Error))
	}
}

// missed says what of the objective was not met.
func missed(s *conf.Scenario, res *load.Result) []string {
	var all []string
	if p99 := time.Duration(res.Latency.P99 * 1e3); s.Objective.P99 > 0 && p99 > s.Objective.P99 {
		all = append(all, fmt.Sprintf("missed the objective: p99 above %s", s.Objective.P99))
	}
	if unitOf(s) == report.Requests && res.Failed.Total() > int64(s.Objective.Failed) {
		all = append(all, fmt.Sprintf("missed the objective: more than %d requests failed", s.Objective.Failed))
	}
	return all
}

// withoutAddresses removes what differs from run to run, so that equal errors are
// named once.
func withoutAddresses(text string) string {
	words := strings.Fields(text)
	for i, w := range words {
		if strings.Contains(w, "127.0.0.1:") {
			words[i] = "ADDRESS"
		}
	}
	return strings.Join(words, " ")
}
