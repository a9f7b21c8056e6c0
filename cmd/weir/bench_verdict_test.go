package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weir/bench/load"
	"weir/bench/peers"
	"weir/bench/verdict"
	"weir/cmd/internal/engine"
	"weir/conf"
)

// startEngine runs Weir in this process before one backend and returns where it
// serves, and its admin side's URL.
func startEngine(t *testing.T, backend string) (web, admin string) {
	t.Helper()
	dir := t.TempDir()
	c, err := conf.Parse(filepath.Join(dir, "weir.toml"), fmt.Appendf(nil, `
[admin]
listen = "127.0.0.1:0"
[process]
state_dir = %q
[pool.app]
servers = [%q]
[[l7]]
name = "web"
listen = ["127.0.0.1:0"]
[[l7.route]]
pool = "app"
`, dir, backend))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	started, ended := make(chan *engine.Engine, 1), make(chan error, 1)
	go func() {
		ended <- engine.Run(ctx, engine.Options{Config: c, Stderr: io.Discard}, func(e *engine.Engine) { started <- e })
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	select {
	case e := <-started:
		for _, l := range e.Listeners() {
			if l.Name == "web" {
				web = l.Addr
			} else if l.Layer == "admin" {
				admin = "http://" + l.Addr
			}
		}
	case err := <-ended:
		t.Fatal(err)
	}
	return web, admin
}

// bounded runs a plan against the Weir with this admin side until the verdict is the
// one that is wanted: the machine may be too busy to show it once.
func bounded(t *testing.T, admin string, plan load.Plan, want verdict.Bound, line string) {
	t.Helper()
	plan.Kind, plan.Loops = load.HTTP1, 1
	plan.Warmup, plan.Duration = 200*time.Millisecond, time.Second
	var last string
	for range 20 {
		judge := watchRun(t.Context(), admin, &plan)
		r, err := load.Run(t.Context(), plan)
		v, e := judge(r)
		if err != nil || e != nil {
			t.Fatal(err, e)
		}
		if v.Bound == want && strings.Contains(v.Line, line) {
			return
		}
		last = v.Line
		t.Log(last)
	}
	t.Errorf("%s, want %s: %s", last, want, line)
}

// startSlow is a backend that takes a time for each request.
func startSlow(t *testing.T, d time.Duration) (addr string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(d)
		fmt.Fprint(w, "hello")
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// The verdicts come from real runs through a real Weir. Where it is not a process of
// its own, client, proxy and backend share this one, and its CPU counts as the client's.

// TestVerdictClient: no client keeps to a microsecond.
func TestVerdictClient(t *testing.T) {
	web, admin := startEngine(t, startSlow(t, 0))
	bounded(t, admin, load.Plan{
		Workload: load.Workload{Address: web}, Conns: 4, Rate: 500, LatenessLimit: time.Microsecond,
	}, verdict.Client, "")
}

func TestVerdictBackend(t *testing.T) {
	web, admin := startEngine(t, startSlow(t, 200*time.Millisecond))
	bounded(t, admin, load.Plan{Workload: load.Workload{Address: web}, Conns: 64}, verdict.Backend, "a request waits ")
}

// TestVerdictNetwork: between client and Weir there is a line on which everything
// takes its time.
func TestVerdictNetwork(t *testing.T) {
	web, admin := startEngine(t, startSlow(t, 0))
	line := startLine(t, web, 50*time.Millisecond)
	bounded(t, admin, load.Plan{Workload: load.Workload{Address: line}, Conns: 2},
		verdict.Network, "outside of the proxy and the backend")
}

// TestVerdictProxy: Weir has one CPU, and routes that are expensive to decide on.
func TestVerdictProxy(t *testing.T) {
	web, admin := startExpensive(t, startSlow(t, 0))
	bounded(t, "http://"+admin, load.Plan{
		Workload: load.Workload{Address: web, Path: "/" + strings.Repeat("ab", 1000)}, Conns: 8,
	}, verdict.Proxy, "of its 1 CPUs")
}

// startLine is a relay to an address that holds every byte back for a time, in both
// directions.
func startLine(t *testing.T, to string, delay time.Duration) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	carry := func(from, to net.Conn) {
		defer to.Close()
		defer from.Close()
		for b := make([]byte, 4096); ; {
			n, err := from.Read(b)
			if err != nil {
				return
			}
			time.Sleep(delay)
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
	}
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p, err := net.Dial("tcp", to)
			if err != nil {
				c.Close()
				continue
			}
			running.Go(func() { carry(c, p) })
			running.Go(func() { carry(p, c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		running.Wait()
	})
	return l.Addr().String()
}

// startExpensive runs Weir as a process on one CPU, with many expressions in which
// no path is found.
func startExpensive(t *testing.T, backend string) (web, admin string) {
	t.Helper()
	dir := t.TempDir()
	weir, err := exec.LookPath("weir")
	if err != nil {
		t.Fatal(err)
	}
	free := func() string {
		addr, err := peers.FreeAddress()
		if err != nil {
			t.Fatal(err)
		}
		return addr
	}
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		t.Fatal(err)
	}
	cpu := 0
	for !set.IsSet(cpu) {
		cpu++
	}
	// Somebody may take a port in the moment between finding and binding it.
	for range 5 {
		web, admin = free(), free()
		text := fmt.Sprintf("[admin]\nlisten = %q\n[process]\nstate_dir = %q\nruntime_dir = %q\ndrain_timeout = \"1s\"\n"+
			"[access_log]\npath = \"off\"\n[pool.app]\nservers = [%q]\n[[l7]]\nname = \"web\"\nlisten = [%q]\n",
			admin, dir, dir, backend, web)
		for i := range 100 {
			text += fmt.Sprintf("[[l7.route]]\npath = \"~(a|b)*c%d$\"\npool = \"app\"\n", i)
		}
		text += "[[l7.route]]\npool = \"app\"\n"
		file := filepath.Join(dir, "weir.toml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var p *peers.Process
		p, err = peers.Start(peers.Command{
			Path: weir, Args: []string{"run", "-c", file}, Dir: dir, CPUs: []int{cpu}, Env: []string{"GOMAXPROCS=1"},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Stop)
		if err = errors.Join(p.Ready(t.Context(), web), p.Ready(t.Context(), admin)); err == nil {
			return web, admin
		}
		p.Stop()
	}
	t.Fatal(err)
	return "", ""
}

func TestWatchNobody(t *testing.T) {
	plan := load.Plan{Duration: time.Second}
	if _, err := watchRun(t.Context(), "http://127.0.0.1:1", &plan)(nil); err == nil {
		t.Error("no error where there is no admin side")
	}
}
