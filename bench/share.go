package bench

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
)

// ProxyShare compares the generator's CPU with that of a proxy which it drives, and
// with that of a rival that does the same.
type ProxyShare struct {
	Proxy     string    `json:"proxy"`
	Generator []float64 `json:"generator_us_per_request"` // one for each round
	Target    []float64 `json:"proxy_us_per_request"`
	Rival     string    `json:"rival,omitempty"` // what else drove the proxy, where it is installed
	Theirs    []float64 `json:"rival_us_per_request,omitempty"`
	TargetOf  []float64 `json:"proxy_us_per_request_of_rival,omitempty"`
	Command   string    `json:"command"`
}

// proxyShare measures the generator and nginx while one drives the other. The
// origin shares the generator's CPU, so that nginx has one for itself.
func proxyShare(ctx context.Context, o *Options) (*ProxyShare, error) {
	j := jobs[0]
	origin, err := startOrigin(ctx, o.Weir, generatorCPU, j.origin...)
	if err != nil {
		return nil, err
	}
	defer origin.stop()
	proxy, err := startNginx(ctx, origin.addr)
	if err != nil {
		return nil, err
	}
	defer proxy.stop()
	p := &ProxyShare{Proxy: nginx}
	if _, err := exec.LookPath(j.rival.program); err == nil {
		p.Rival = j.rival.program
	}
	for range o.Rounds {
		_, r, err := runOurs(ctx, o, j, proxy)
		if err != nil {
			return nil, err
		}
		if r.Target == nil {
			return nil, errors.New("cannot see the CPU time of nginx")
		}
		p.Command = r.command
		p.Generator = append(p.Generator, r.Generator.PerRequest)
		p.Target = append(p.Target, r.Target.PerRequest)
		if p.Rival == "" {
			continue
		}
		s, _, err := runRival(ctx, o, j, proxy)
		if err != nil {
			return nil, err
		}
		p.Theirs, p.TargetOf = append(p.Theirs, s.CPU), append(p.TargetOf, s.Server)
	}
	return p, nil
}

func (p *ProxyShare) write(b *strings.Builder) {
	fmt.Fprintf(b, "CPU per request, %s in between, which has a CPU for itself:\n\n", p.Proxy)
	rows := [][]string{{"generator", "its CPU", "CPU of " + p.Proxy, "ratio", "spread"}}
	add := func(name string, own, proxy []float64) {
		ratios := make([]float64, len(own))
		for i := range own {
			ratios[i] = own[i] / proxy[i]
		}
		rows = append(rows, []string{
			name, fmt.Sprintf("%.2f µs", median(own)), fmt.Sprintf("%.2f µs", median(proxy)),
			fmt.Sprintf("%.2f", median(ratios)), fmt.Sprintf("%.2f-%.2f", slices.Min(ratios), slices.Max(ratios)),
		})
	}
	add("weir", p.Generator, p.Target)
	if p.Rival != "" {
		add(p.Rival, p.Theirs, p.TargetOf)
	}
	writeRows(b, rows)
}
