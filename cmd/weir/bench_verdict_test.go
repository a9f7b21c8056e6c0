package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"weir/bench/load"
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

// TestVerdicts: real runs through a real Weir. Client, proxy and backend share this
// process here, so its CPU counts as the client's.
func TestVerdicts(t *testing.T) {
	var slow atomic.Bool
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if slow.Load() {
			time.Sleep(20 * time.Millisecond)
		}
		fmt.Fprint(w, "hello")
	}))
	defer s.Close()
	web, admin := startEngine(t, strings.TrimPrefix(s.URL, "http://"))

	f := func(conns int, want verdict.Bound, line string) {
		t.Helper()
		plan := load.Plan{
			Workload: load.Workload{Kind: load.HTTP1, Address: web},
			Conns:    conns, Loops: 1, Warmup: 200 * time.Millisecond, Duration: time.Second,
		}
		var last string
		for range 5 { // the machine may be too busy to show it once
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
		}
		t.Errorf("%s, want %s: %s", last, want, line)
	}
	f(32, verdict.Client, "of its 1 CPUs")
	slow.Store(true)
	f(2, verdict.Backend, "a request waits 2")
}

func TestWatchNobody(t *testing.T) {
	plan := load.Plan{Duration: time.Second}
	if _, err := watchRun(t.Context(), "http://127.0.0.1:1", &plan)(nil); err == nil {
		t.Error("no error where there is no admin side")
	}
}
