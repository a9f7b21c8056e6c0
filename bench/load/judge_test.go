package load

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestJudge(t *testing.T) {
	open := &Plan{Rate: 100, Loops: 1, LatenessLimit: time.Millisecond, Workload: Workload{Kind: HTTP1}}
	closed := &Plan{Loops: 1, Workload: Workload{Kind: HTTP1}}
	used := func(own, target, busiest float64, cpus int) spent {
		s := func(x float64) time.Duration { return time.Duration(x * 10 * float64(time.Second)) }
		return spent{wall: 10 * time.Second, own: s(own), known: target >= 0, target: s(target), busiest: s(busiest), cpus: cpus}
	}
	f := func(x facts, want string) {
		t.Helper()
		x.cpus = 2
		got := strings.Join(judge(x), "; ")
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("judge(%+v) = %q, want %q", x, got, want)
		}
	}
	f(facts{plan: closed, answered: 1, spent: used(0.5, 0.5, 0.5, 2)}, "")
	f(facts{plan: closed, spent: used(0.5, 0.5, 0.5, 2)}, "nothing was answered")
	f(facts{plan: closed, first: errors.New("no route")}, "nothing was answered: no route")
	f(facts{plan: closed, answered: 1, stopped: true}, "interrupted")

	// The generator's one loop is busy. Whether that matters is up to the target.
	f(facts{plan: closed, answered: 1, spent: used(0.97, 0.5, 0.5, 2)}, "the target only 0.50 of 2")
	f(facts{plan: closed, answered: 1, spent: used(0.97, 1.9, 0.6, 2)}, "")
	f(facts{plan: closed, answered: 1, spent: used(0.97, 1.0, 0.95, 4)}, "") // one thread does all
	f(facts{plan: closed, answered: 1, spent: used(0.97, -1, 0, 0)}, "target's use is not known")
	f(facts{plan: closed, answered: 1, spent: used(0.80, -1, 0, 0)}, "")

	// In a few clock ticks the target's CPU time cannot be told from none.
	short := spent{wall: shortest - 1, own: shortest, known: true, cpus: 2}
	f(facts{plan: closed, answered: 1, spent: short}, "")
	if unjudged(short) == "" || unjudged(used(0.5, 0.5, 0.5, 2)) != "" {
		t.Error("a short run, and only that, is to be called too short to be judged")
	}

	f(facts{plan: open, answered: 1, lateness: 999 * time.Microsecond}, "")
	f(facts{plan: open, answered: 1, lateness: 1500 * time.Microsecond}, "the generator was late: 1.5ms")
	f(facts{plan: closed, answered: 1, lateness: time.Second}, "") // a closed loop is never late
	f(facts{plan: &Plan{Loops: 1, Workload: Workload{Kind: Upload}}, bytes: 1}, "")
}

func TestValidate(t *testing.T) {
	good := Plan{Workload: Workload{Kind: HTTP1, Address: "127.0.0.1:80"}}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	f := func(change func(*Plan), want string) {
		t.Helper()
		p := good
		change(&p)
		if err := p.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	f(func(p *Plan) { p.Kind = "smtp" }, `unknown kind of workload "smtp"`)
	f(func(p *Plan) { p.Address = "" }, "no address")
	f(func(p *Plan) { p.Conns = -1 }, "-1 connections")
	f(func(p *Plan) { p.Conns = maxConns + 1 }, "expected 1 to 100000")
	f(func(p *Plan) { p.Rate = -1 }, "rate -1")
	f(func(p *Plan) { p.Poisson = true }, "need a rate")
	f(func(p *Plan) { p.Streams = 2 }, "streams are for h2")
	f(func(p *Plan) { p.Kind, p.Rate = Download, 1 }, "download has no requests")
	f(func(p *Plan) { p.Kind, p.Reconnect = HTTP2, true }, "h2 cannot reconnect")
	f(func(p *Plan) { p.Kind, p.TLS = TCP, true }, "tcp cannot be encrypted")
	f(func(p *Plan) { p.Kind = Postgres }, "needs a user")
	f(func(p *Plan) { p.TLS, p.ReadPace = true, Pace{1, time.Second} }, "slow reader")
	f(func(p *Plan) { p.Path = "/a b" }, `path "/a b"`)
	f(func(p *Plan) { p.Host = "a\r\nb" }, "host")
	f(func(p *Plan) { p.Fields = []string{"X: a\r\nY: b"} }, "control characters")
	f(func(p *Plan) { p.Fields = []string{"nonsense"} }, `expected "Name: value"`)
	f(func(p *Plan) { p.Kind, p.Send = UDP, 65_508 }, "datagram of 65508 bytes")
	f(func(p *Plan) { p.Kind, p.Address = UDP, "unix:x" }, "udp has no unix sockets")
	f(func(p *Plan) { p.Timeout = time.Hour }, "timeout 1h0m0s")
}

func TestListeningSockets(t *testing.T) {
	const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0
   1: 0100007F:1F90 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 20 4 30 10 -1
   2: 0100007F:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1 0 100 0 0 10 0
`
	got := map[string]bool{}
	listeningSockets([]byte(table), "0A", 8080, got)
	if len(got) != 1 || !got["socket:[4711]"] {
		t.Fatalf("sockets %v, want the listener alone", got)
	}
}

// TestUsage: the target's CPU time is that of its processes and of those that they
// have started, running or not.
func TestUsage(t *testing.T) {
	script := exec.Command("sh", "-c", "read x; (i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done); read x")
	stdin, err := script.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := script.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		stdin.Close()
		_ = script.Wait()
	}()
	target := []int{script.Process.Pid, 1 << 30}
	before := measure(target)
	if _, err := stdin.Write([]byte("\n")); err != nil {
		t.Fatal(err)
	}
	var s spent
	for deadline := time.Now().Add(20 * time.Second); s.target < 50*time.Millisecond; s = before.until(measure(target)) {
		if time.Now().After(deadline) {
			t.Fatalf("a child that counts has used %s", s.target)
		}
	}
	if !s.known || s.cpus < 1 || s.own <= 0 || s.wall <= 0 {
		t.Errorf("%+v", s)
	}
	if s := measure(nil).until(measure(nil)); s.known || s.target != 0 {
		t.Errorf("without a target: %+v", s)
	}
	if s := measure([]int{1 << 30}); s.known {
		t.Errorf("of a process that does not exist: %+v", s)
	}
}

func TestBlame(t *testing.T) {
	var b blame
	f := func(due, free, now, want time.Duration) {
		t.Helper()
		if got := b.late(due, free, now); got != want {
			t.Errorf("due at %d, free since %d, now %d: late by %d, want %d", due, free, now, got, want)
		}
	}
	f(100, 0, 100, 0)     // in time
	f(101, 50, 105, 4)    // late, with a connection at hand
	f(110, 200, 200, 0)   // the connection was busy: the target's fault
	f(120, 200, 203, 3)   // and then we took 3
	f(300, 250, 400, 100) // we stood still from 300 to 400
	f(310, 420, 420, 90)  // which made this one late as well
	f(390, 450, 450, 10)
	f(410, 500, 500, 0) // due when we were back
	b.held(600, 700)
	f(550, 702, 703, 100) // waited for a connection, and then for us
	f(650, 702, 703, 50)
	f(750, 800, 800, 0)
}
