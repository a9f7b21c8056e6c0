package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"weir/bench"
	"weir/bench/load"
	"weir/bench/origin"
	"weir/bench/verdict"
	"weir/conf"
)

type benchCmd struct {
	Run    benchRunCmd    `cmd:"" help:"Generate load and measure what answers it."`
	Origin benchOriginCmd `cmd:"" help:"Run a small, fast server to measure against."`

	Compare   benchCompareCmd   `cmd:"" help:"Compare proxies at the same jobs, in turn."`
	Calibrate benchCalibrateCmd `cmd:"" help:"Compare the generator with wrk, h2load and iperf3 at the same jobs."`
	Knee      benchKneeCmd      `cmd:"" help:"Find the highest rate that meets an objective."`
	Torture   benchTortureCmd   `cmd:"" help:"Misbehave in every way, and watch that nothing wrong comes of it."`
}

func (benchCmd) Help() string {
	return `Examples:

    weir bench origin --kind http --listen 127.0.0.1:9000 --body 1024
    weir bench run --http http://127.0.0.1:9000/ -c 32 -d 10s
    weir bench run --http http://127.0.0.1:9000/ -c 32 -d 10s --rate 5000`
}

func (benchRunCmd) Help() string {
	return `Without --rate each connection sends when its last request was answered (closed loop): this finds the
greatest throughput. With --rate requests are due whatever the server does (open loop), and latency counts from when
a request was due, so that a stall shows.

The exit code is 1 when the run is not valid: when the generator, and not the server, may have been measured.
Certificates are not verified.`
}

type benchRunCmd struct {
	benchTarget

	Conns    int           `short:"c" default:"32" placeholder:"N" help:"Connections."`
	Duration time.Duration `short:"d" default:"10s" placeholder:"TIME" help:"Length of the measurement."`
	Warmup   time.Duration `default:"1s" placeholder:"TIME" help:"Time before the measurement, not counted."`
	Requests int64         `short:"n" placeholder:"N" help:"End after so many requests, if that is earlier."`
	Timeout  time.Duration `default:"10s" placeholder:"TIME" help:"Of one request."`
	Loops    int           `placeholder:"N" help:"Event loops. Default: half of the CPUs."`
	Streams  int           `short:"m" placeholder:"N" help:"HTTP/2 requests at a time on a connection. Default: 1."`

	Rate    float64       `placeholder:"N" help:"Requests per second that are due: an open loop."`
	Poisson bool          `help:"Random gaps between requests, exponentially distributed."`
	Seed    uint64        `placeholder:"N" help:"Of the random gaps."`
	Late    time.Duration `default:"1ms" placeholder:"TIME" help:"How late we may be at the 99th percentile."`

	Method    string   `placeholder:"NAME" help:"HTTP method. Default: GET, or POST with --size."`
	Header    []string `short:"H" sep:"none" placeholder:"FIELD" help:"HTTP field to add, NAME:VALUE, repeatable."`
	Host      string   `placeholder:"NAME" help:"HTTP host, instead of the one of the URL."`
	Size      size     `placeholder:"SIZE" help:"Request body or message. Default: none; 64 for --tcp, --udp, --ws."`
	Status    int      `placeholder:"CODE" help:"The right HTTP status. Default: 200."`
	Length    int64    `placeholder:"BYTES" help:"The right length of an HTTP response body; -1: none. Default: any."`
	Verify    bool     `help:"Compare the checksums of HTTP response bodies."`
	Copy      bool     `help:"Copy long bodies and downloads out of the kernel, which else drops them (MSG_TRUNC)."`
	Reconnect bool     `help:"A new connection for each request."`
	SNI       []string `name:"sni" placeholder:"NAME" help:"TLS server names, taken in turn; several with commas."`
	SlowRead  pace     `placeholder:"PACE" help:"Read no faster than BYTES/TIME, as 1000/100ms. Plain HTTP/1.1 only."`
	SlowWrite pace     `placeholder:"PACE" help:"Write no faster than BYTES/TIME. Plain HTTP/1.1 only."`

	Process []int `placeholder:"PID" help:"Processes whose CPU is measured. Default: who listens there, if it is here."`
	JSON    bool  `name:"json" help:"Print the result as JSON."`

	WeirAdmin string `placeholder:"URL" help:"Admin side of the Weir in between, to say what bounds the run."`
}

// benchTarget is what to talk to: one of them.
type benchTarget struct {
	HTTP      string `name:"http" xor:"target" required:"" placeholder:"URL" help:"HTTP/1.1, http:// or https://."`
	H2        string `name:"h2" xor:"target" required:"" placeholder:"URL" help:"HTTP/2, http:// or https://."`
	WebSocket string `name:"ws" xor:"target" required:"" placeholder:"URL" help:"WebSocket echo, ws:// or wss://."`
	Postgres  string `name:"postgres" xor:"target" required:"" placeholder:"URL" help:"SELECT 1: postgres://USER@HOST."`
	TCP       string `name:"tcp" xor:"target" required:"" placeholder:"ADDR" help:"Messages that a server sends back."`
	UDP       string `name:"udp" xor:"target" required:"" placeholder:"ADDR" help:"Datagrams that a server sends back."`
	Download  string `name:"download" xor:"target" required:"" placeholder:"ADDR" help:"Bytes from a TCP server."`
	Upload    string `name:"upload" xor:"target" required:"" placeholder:"ADDR" help:"Bytes to a TCP server."`
	TLS       string `name:"tls" xor:"target" required:"" placeholder:"ADDR" help:"TLS handshakes."`
}

// size is a flag that is a number of bytes, with a unit or without.
type size int64

// UnmarshalText is called by kong.
func (s *size) UnmarshalText(text []byte) error {
	n, err := conf.ParseSize(string(text))
	*s = size(n)
	return err
}

// pace is a flag of the form BYTES/TIME.
type pace load.Pace

// UnmarshalText is called by kong.
func (p *pace) UnmarshalText(text []byte) error {
	bytes, every, ok := strings.Cut(string(text), "/")
	n, err := strconv.Atoi(bytes)
	if !ok || err != nil || n <= 0 {
		return fmt.Errorf("%q: expected BYTES/TIME, as 1000/100ms", text)
	}
	d, err := time.ParseDuration(every)
	if err != nil || d <= 0 {
		return fmt.Errorf("%q: expected BYTES/TIME, as 1000/100ms", text)
	}
	*p = pace{Bytes: n, Every: d}
	return nil
}

// Run runs a plan until it ends or is interrupted.
func (c *benchRunCmd) Run(o *output) error {
	plan, err := c.plan()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	judge := func(*load.Result) (*verdict.Verdict, error) { return nil, nil }
	if c.WeirAdmin != "" {
		judge = watchRun(ctx, c.WeirAdmin, &plan)
	}
	result, err := load.Run(ctx, plan)
	said, e := judge(result)
	if err = errors.Join(err, e); err != nil {
		return err
	}
	if err := c.print(o.stdout, result, said); err != nil {
		return err
	}
	if !result.Valid {
		return errors.New("the run is not valid: " + strings.Join(result.Invalid, "; "))
	}
	return nil
}

// print writes the result, and the verdict where there is one.
func (c *benchRunCmd) print(out io.Writer, r *load.Result, v *verdict.Verdict) error {
	if c.JSON {
		return printJSON(out, struct {
			*load.Result
			Verdict *verdict.Verdict `json:"verdict,omitempty"`
		}{r, v})
	}
	if err := r.WriteTable(out); err != nil {
		return fmt.Errorf("cannot print: %w", err)
	}
	if v == nil {
		return nil
	}
	return printText(out, fmt.Sprintf("%-16s%s\n", "verdict", v.Line))
}

func (c *benchRunCmd) plan() (load.Plan, error) {
	w, err := c.workload()
	w.Reconnect, w.Streams, w.Method, w.Fields, w.Send = c.Reconnect, c.Streams, c.Method, c.Header, int64(c.Size)
	w.Status, w.Receive, w.Verify, w.Copy, w.ServerNames = c.Status, c.Length, c.Verify, c.Copy, c.SNI
	w.ReadPace, w.WritePace = load.Pace(c.SlowRead), load.Pace(c.SlowWrite)
	if c.Host != "" {
		w.Host = c.Host
	}
	return load.Plan{
		Workload: w, Conns: c.Conns, Loops: c.Loops, Duration: c.Duration, Warmup: c.Warmup, Requests: c.Requests,
		Timeout: c.Timeout, Rate: c.Rate, Poisson: c.Poisson, Seed: c.Seed, LatenessLimit: c.Late,
		Targets: c.Process,
	}, err
}

// workload is what the target says; kong sees to it that there is one.
func (c *benchTarget) workload() (load.Workload, error) {
	switch {
	case c.TCP != "":
		return load.Workload{Kind: load.TCP, Address: c.TCP}, nil
	case c.UDP != "":
		return load.Workload{Kind: load.UDP, Address: c.UDP}, nil
	case c.Download != "":
		return load.Workload{Kind: load.Download, Address: c.Download}, nil
	case c.Upload != "":
		return load.Workload{Kind: load.Upload, Address: c.Upload}, nil
	case c.TLS != "":
		return load.Workload{Kind: load.Handshake, Address: c.TLS, Host: c.TLS}, nil
	case c.Postgres != "":
		return postgresWorkload(c.Postgres)
	case c.H2 != "":
		return urlWorkload(load.HTTP2, c.H2, "http", "https")
	case c.WebSocket != "":
		return urlWorkload(load.WebSocket, c.WebSocket, "ws", "wss")
	}
	return urlWorkload(load.HTTP1, c.HTTP, "http", "https")
}

// urlWorkload takes apart a URL with one of two schemes, the second one for TLS.
func urlWorkload(kind load.Kind, text, plain, tls string) (load.Workload, error) {
	u, err := url.Parse(text)
	if err != nil {
		return load.Workload{}, fmt.Errorf("cannot read the URL: %w", err)
	}
	if u.Scheme != plain && u.Scheme != tls || u.Host == "" {
		return load.Workload{}, fmt.Errorf("cannot read the URL %q: expected %s://HOST/PATH or %s://", text, plain, tls)
	}
	w := load.Workload{Kind: kind, Address: u.Host, Host: u.Host, Path: u.RequestURI(), TLS: u.Scheme == tls}
	if u.Port() == "" {
		port := "80"
		if w.TLS {
			port = "443"
		}
		w.Address = net.JoinHostPort(u.Hostname(), port)
	}
	return w, nil
}

func postgresWorkload(text string) (load.Workload, error) {
	u, err := url.Parse(text)
	if err != nil {
		return load.Workload{}, errors.New("cannot read the URL of PostgreSQL") // the error would show the password
	}
	if u.Scheme != "postgres" && u.Scheme != "postgresql" || u.Host == "" {
		return load.Workload{}, errors.New("cannot read the URL: expected postgres://USER:PASSWORD@HOST:PORT/DATABASE")
	}
	w := load.Workload{
		Kind: load.Postgres, Address: u.Host, Database: strings.Trim(u.Path, "/"), User: u.User.Username(),
	}
	w.Password, _ = u.User.Password()
	if u.Port() == "" {
		w.Address = net.JoinHostPort(u.Hostname(), "5432")
	}
	return w, nil
}

type benchOriginCmd struct {
	Kind       string        `default:"http" placeholder:"KIND" help:"http, https, h2c, echo, source, sink, udp-echo."`
	Listen     string        `default:"127.0.0.1:0" placeholder:"ADDR" help:"IP:PORT, port 0: any."`
	Body       int           `default:"128" placeholder:"BYTES" help:"Length of HTTP response bodies."`
	Loops      int           `default:"1" placeholder:"N" help:"Event loops."`
	Content    string        `default:"bytes" enum:"bytes,json" help:"What bodies of http are: ${enum}."`
	MaxAge     time.Duration `placeholder:"TIME" help:"How long caches may keep the answers of http."`
	StallEvery time.Duration `placeholder:"TIME" help:"Stand still in each such time ..."`
	StallFor   time.Duration `placeholder:"TIME" help:"... for so long. http and echo only."`
}

// Run serves until a signal ends it.
func (c *benchOriginCmd) Run(o *output) error {
	s, err := origin.Start(origin.Options{
		Kind: origin.Kind(c.Kind), Addr: c.Listen, Body: c.Body, Loops: c.Loops, MaxAge: c.MaxAge,
		JSON:  c.Content == "json",
		Stall: origin.Stall{Every: c.StallEvery, For: c.StallFor},
	})
	if err != nil {
		return err
	}
	defer s.Close()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := printText(o.stdout, s.Addr()+"\n"); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

type benchCalibrateCmd struct {
	Rounds   int           `default:"5" placeholder:"N" help:"Rounds, in each of which both do the job."`
	Duration time.Duration `short:"d" default:"2s" placeholder:"TIME" help:"Length of each run, in whole seconds."`
	JSON     bool          `name:"json" help:"Print the figures as JSON."`
}

func (benchCalibrateCmd) Help() string {
	return `Both generators get one thread on one CPU and the same server on another, in turn; iperf3 has a server
of its own. A difference of more than 5 % is explained by what was measured: who used which CPU up, what a unit of
work costs either, and what other programs took meanwhile. The output is Markdown. What is not installed is left out.
Where nginx is, its CPU time for proxying a request is compared with the generator's for making one, and wrk's.`
}

// Run compares and prints.
func (c *benchCalibrateCmd) Run(o *output) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("cannot find this program: %w", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	result, err := bench.Calibrate(ctx, bench.Options{
		Weir: self, Rounds: c.Rounds, Time: c.Duration,
		Say: func(text string) { _ = printText(o.stderr, "weir: "+text+"\n") },
	})
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(o.stdout, result)
	}
	if err := result.WriteTable(o.stdout); err != nil {
		return fmt.Errorf("cannot print: %w", err)
	}
	return nil
}
