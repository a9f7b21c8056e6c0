package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"weir/bench/load"
	"weir/bench/verdict"
)

// watchRun watches the Weir behind an admin URL for as long as a plan measures. What
// it returns judges the run's result, and is to be called once, whatever became of
// the run.
func watchRun(ctx context.Context, admin string, p *load.Plan) (judge func(*load.Result) (*verdict.Verdict, error)) {
	wait := verdict.Watch(ctx, verdict.Source{Admin: admin, Find: load.Listening}, p.Warmup, p.Warmup+p.Duration)
	return func(r *load.Result) (*verdict.Verdict, error) {
		seen, err := wait()
		if err != nil || r == nil {
			return nil, err
		}
		v := verdict.Judge(runFacts(seen, r))
		return &v, nil
	}
}

// runFacts puts together what Weir's side says and what the client measured.
func runFacts(seen verdict.Seen, r *load.Result) verdict.Facts {
	room := float64(min(runtime.GOMAXPROCS(0), runtime.NumCPU()))
	switch p := &r.Plan; p.Kind {
	case load.HTTP1, load.TCP, load.Download, load.Upload:
		if !p.TLS {
			room = min(room, float64(p.Loops)) // a loop is a thread
		}
	}
	f := verdict.Facts{
		Busy:   seen.Busy,
		Client: verdict.Process{Known: true, CPUs: r.Generator.Share, Room: room, Set: verdict.OwnSet()},
		Proxy:  seen.Proxy, Backend: seen.Backend,
		Latency: micros(r.Latency.Mean), InProxy: seen.InProxy, Stages: seen.Stages,
		Bytes: max(r.RateIn, r.RateOut), Link: linkSpeed(r.Plan.Address), Retransmits: seen.Retransmits,
	}
	if r.Lateness != nil {
		f.Lateness, f.LatenessLimit = micros(r.Lateness.P99), r.Plan.LatenessLimit
	}
	return f
}

// linkSpeed is what the link to an address carries, in bytes per second; 0 where
// nobody knows, as on loopback.
func linkSpeed(addr string) float64 {
	c, err := net.DialTimeout("udp", addr, time.Second) // sends nothing: it only asks for the route
	if err != nil {
		return 0
	}
	defer c.Close() //nolint:errcheck // nothing was sent
	local, ok := c.LocalAddr().(*net.UDPAddr)
	interfaces, err := net.Interfaces()
	if err != nil || !ok {
		return 0
	}
	for _, i := range interfaces {
		addrs, err := i.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); !ok || !n.IP.Equal(local.IP) {
				continue
			}
			text, err := os.ReadFile(filepath.Join("/sys/class/net", i.Name, "speed"))
			if err != nil {
				return 0
			}
			megabits, err := strconv.ParseFloat(strings.TrimSpace(string(text)), 64)
			if err != nil || megabits < 0 {
				return 0
			}
			return megabits * 1e6 / 8
		}
	}
	return 0
}
