package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"time"
)

// A job is one piece of work that two generators do. Both get one thread, and the
// same connections.
type job struct {
	name   string
	unit   string
	origin []string // flags of weir bench origin
	ours   func(addr string) []string
	rival  rival
	conns  int
	path   []string // further flags of the rival
	// differs says how the two do the job in different ways, as strace(1) shows.
	differs string
}

const (
	requests  = "requests"
	megabytes = "MB"
)

// A rival is another generator.
type rival struct {
	program string
	args    func(j job, addr string, d time.Duration) []string
	read    func(out output) (Sample, error)
	server  func(ctx context.Context) (*service, error) // nil: ours does
}

var jobs = []job{
	{
		name: "http1 128 B", unit: requests, origin: []string{"--kind=http", "--body=128"}, conns: 32, rival: wrk,
		ours: func(addr string) []string { return []string{"-c", "32", "--http", "http://" + addr + "/"} },
	},
	{
		name: "http1 64 KiB", unit: requests, origin: []string{"--kind=http", "--body=65536"}, conns: 32, rival: wrk,
		ours:    func(addr string) []string { return []string{"-c", "32", "--copy", "--http", "http://" + addr + "/"} },
		differs: "wrk reads 8 KiB at a time and asks before whether there are more (FIONREAD), ours up to 128 KiB",
	},
	{
		name: "h2 128 B", unit: requests, origin: []string{"--kind=h2c", "--body=128"}, conns: 8, rival: h2load,
		ours:    func(addr string) []string { return []string{"-c", "8", "-m", "32", "--h2", "http://" + addr + "/"} },
		differs: "h2load is C, ours is Go with a goroutine for each connection; they batch frames differently",
	},
	{
		name: "upload", unit: megabytes, origin: []string{"--kind=sink"}, rival: iperf,
		ours:    func(addr string) []string { return []string{"-c", "1", "--upload", addr} },
		differs: "iperf3 measures with a server of its own, to the same blocks of 128 KiB",
	},
	{
		name: "download", unit: megabytes, origin: []string{"--kind=source"}, rival: iperf, path: []string{"-R"},
		ours:    func(addr string) []string { return []string{"-c", "1", "--copy", "--download", addr} },
		differs: "iperf3 measures with a server of its own, and waits by select(2) before each block of 128 KiB",
	},
}

var wrk = rival{
	program: "wrk",
	args: func(j job, addr string, d time.Duration) []string {
		conns := "-c" + strconv.Itoa(j.conns)
		return []string{"-t1", conns, "-d" + seconds(d) + "s", "--latency", "http://" + addr + "/"}
	},
	read: readWrk,
}

var h2load = rival{
	program: "h2load",
	args: func(j job, addr string, d time.Duration) []string {
		return []string{"-t1", "-c" + strconv.Itoa(j.conns), "-m32", "-D" + seconds(d), "http://" + addr + "/"}
	},
	read: readH2load,
}

var iperf = rival{
	program: "iperf3",
	args: func(j job, addr string, d time.Duration) []string {
		host, port := split(addr)
		return append([]string{"-J", "-c", host, "-p", port, "-t", seconds(d)}, j.path...)
	},
	read:   readIperf,
	server: startIperf,
}

// seconds are whole: the rivals take no parts.
func seconds(d time.Duration) string { return strconv.Itoa(int(d.Round(time.Second).Seconds())) }

var (
	wrkRate    = regexp.MustCompile(`(?m)^Requests/sec:\s+([0-9.]+)$`)
	wrkTotal   = regexp.MustCompile(`(?m)^\s+([0-9]+) requests in `)
	wrkErrors  = regexp.MustCompile(`(?m)^\s+(Socket errors:.*|Non-2xx.*)$`)
	wrkLatency = regexp.MustCompile(`(?m)^\s+(50|99)%\s+([0-9.]+)(us|ms|s)$`)
	h2Rate     = regexp.MustCompile(`(?m)^finished in [0-9.]+[a-z]+, ([0-9.]+) req/s`)
	h2Total    = regexp.MustCompile(`(?m)^requests: .* ([0-9]+) succeeded, ([0-9]+) failed, ([0-9]+) errored`)
)

func readWrk(out output) (s Sample, err error) {
	if m := wrkErrors.FindSubmatch(out.stdout); m != nil {
		return s, fmt.Errorf("wrk says: %s", m[1])
	}
	s.Rate = number(wrkRate, out.stdout)
	for _, m := range wrkLatency.FindAllSubmatch(out.stdout, -1) {
		d, err := time.ParseDuration(string(m[2]) + string(m[3]))
		if err != nil {
			return s, fmt.Errorf("cannot read the output of wrk: %w", err)
		}
		if us := float64(d.Nanoseconds()) / 1e3; string(m[1]) == "50" {
			s.P50 = us
		} else {
			s.P99 = us
		}
	}
	return s.withCPU(out, number(wrkTotal, out.stdout))
}

func readH2load(out output) (s Sample, err error) {
	m := h2Total.FindSubmatch(out.stdout)
	if m == nil || string(m[2]) != "0" || string(m[3]) != "0" {
		return s, fmt.Errorf("h2load says: %s", m)
	}
	s.Rate = number(h2Rate, out.stdout)
	return s.withCPU(out, number(h2Total, out.stdout))
}

func readIperf(out output) (s Sample, err error) {
	var r struct {
		Error string
		End   struct {
			Received struct {
				BitsPerSecond float64 `json:"bits_per_second"`
				Bytes         float64
			} `json:"sum_received"`
		}
	}
	if err := json.Unmarshal(out.stdout, &r); err != nil {
		return s, fmt.Errorf("cannot read the output of iperf3: %w", err)
	}
	if r.Error != "" {
		return s, fmt.Errorf("iperf3 says: %s", r.Error)
	}
	s.Rate = r.End.Received.BitsPerSecond / 8e6
	return s.withCPU(out, r.End.Received.Bytes/1e6)
}

// number is the first group of the first match, 0 without one.
func number(re *regexp.Regexp, text []byte) float64 {
	m := re.FindSubmatch(text)
	if m == nil {
		return 0
	}
	n, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil {
		return 0 // the pattern allows for more than numbers, as 1.2.3
	}
	return n
}

func (s Sample) withCPU(out output, units float64) (Sample, error) {
	if s.Rate <= 0 || units <= 0 {
		return s, fmt.Errorf("cannot find a rate in the output of %q", out.command)
	}
	return s.spend(out, units), nil
}
