package peers

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weir/conf"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var fronts = []string{"http", "https", "tcp", "sni"}

// accepted lets a proxy check what is written for it, for every job that it can do.
func accepted(t *testing.T, name string, fronts ...string) {
	t.Helper()
	p, err := Find(t.Context(), name, "")
	if err != nil {
		t.Fatal(err)
	}
	if p.Version == "" {
		t.Errorf("%s has no version", name)
	}
	for _, front := range fronts {
		if !p.Can(front) {
			t.Errorf("%s cannot do %s", name, front)
		}
		for _, bulk := range []bool{false, true} {
			dir := t.TempDir()
			j := Job{Front: front, Address: "127.0.0.1:18080", Origin: "127.0.0.1:18081", Bulk: bulk}
			if err := p.Write(dir, j); err != nil {
				t.Error(err)
			} else if err := p.Check(t.Context(), dir); err != nil {
				t.Errorf("%s: %v", front, err)
			}
		}
	}
}

func TestNginxAcceptsItsConfiguration(t *testing.T) {
	accepted(t, "nginx", "http", "https", "cache", "gzip", "files")
}

func TestNginxStreamAcceptsItsConfiguration(t *testing.T) { accepted(t, "nginx", "tcp", "udp", "sni") }

func TestHaproxyAcceptsItsConfiguration(t *testing.T) {
	accepted(t, "haproxy", append(fronts, "cache", "gzip")...)
}

func TestVarnishAcceptsItsConfiguration(t *testing.T) { accepted(t, "varnish", "cache") }

// TestVarnishCaches: in front of an origin that says nothing about it, an answer is
// asked for once.
func TestVarnishCaches(t *testing.T) { keeps(t, "varnish", "") }

// These keep what they are told to keep.
func TestNginxCaches(t *testing.T)   { keeps(t, "nginx", "max-age=3600") }
func TestHaproxyCaches(t *testing.T) { keeps(t, "haproxy", "max-age=3600") }

func keeps(t *testing.T, name, control string) {
	t.Helper()
	var asked atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		if control != "" {
			w.Header().Set("Cache-Control", control)
		}
		fmt.Fprint(w, "hello")
	}))
	defer s.Close()
	p, err := Find(t.Context(), name, "")
	if err != nil {
		t.Fatal(err)
	}
	address, err := FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	job := Job{Front: "cache", Address: address, MaxConns: 500, Origin: strings.TrimPrefix(s.URL, "http://")}
	proc, err := p.Start(t.Context(), t.TempDir(), job, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer proc.Stop()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for i, until := 0, time.Now().Add(readyWait); i < 5; i++ {
		resp, err := client.Get("http://" + address + "/x")
		if err != nil && i == 0 && time.Now().Before(until) {
			i-- // it listens, and is still busy with starting
			time.Sleep(10 * time.Millisecond)
			continue
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, proc.Output())
		}
		text, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || string(text) != "hello" || resp.StatusCode != http.StatusOK {
			t.Errorf("got %d, %q, %v", resp.StatusCode, text, err)
		}
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("the origin was asked %d times, want once", n)
	}
}

// These compress what they are told to compress.
func TestNginxCompresses(t *testing.T)   { encodes(t, "nginx") }
func TestHaproxyCompresses(t *testing.T) { encodes(t, "haproxy") }

func encodes(t *testing.T, name string) {
	t.Helper()
	want := strings.Repeat(`{"name":"weir","kind":"proxy"},`, 1000)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(want)))
		fmt.Fprint(w, want)
	}))
	defer s.Close()
	p, err := Find(t.Context(), name, "")
	if err != nil {
		t.Fatal(err)
	}
	address, err := FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	job := Job{Front: "gzip", Address: address, MaxConns: 500, Origin: strings.TrimPrefix(s.URL, "http://")}
	proc, err := p.Start(t.Context(), t.TempDir(), job, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer proc.Stop()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // which decodes gzip
	for until := time.Now().Add(readyWait); ; time.Sleep(10 * time.Millisecond) {
		resp, err := client.Get("http://" + address + "/x")
		if err != nil && time.Now().Before(until) {
			continue // it listens, and is still busy with starting
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, proc.Output())
		}
		text, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || string(text) != want || !resp.Uncompressed {
			t.Errorf("got %d octets, encoded %v, %v", len(text), resp.Uncompressed, err)
		}
		return
	}
}

// TestWeirAcceptsItsConfiguration needs no binary: the check is a function here.
func TestWeirAcceptsItsConfiguration(t *testing.T) {
	p := &Peer{Name: "weir", kind: &kinds()[0]}
	for _, front := range append(fronts, "udp", "gzip", "files") {
		dir := t.TempDir()
		j := Job{Front: front, Address: "127.0.0.1:18080", Origin: "127.0.0.1:18081", Admin: "127.0.0.1:18082"}
		if err := p.Write(dir, j); err != nil {
			t.Fatal(err)
		}
		c, err := conf.Load(filepath.Join(dir, "weir.toml"))
		if err != nil {
			t.Errorf("%s:\n%v", front, err)
		} else if c.Process.Loops != 1 || len(c.L4)+len(c.L7) != 1 || c.AccessLog.Path != "off" ||
			c.Admin.Listen.String() != j.Admin {
			t.Errorf("%s: got %+v", front, c)
		}
	}
}

// TestTemplates: all proxies get the same job, and no value is left out.
func TestTemplates(t *testing.T) {
	for _, k := range kinds() {
		p := &Peer{Name: k.name, kind: &k}
		for _, front := range k.fronts {
			dir := t.TempDir()
			if err := p.Write(dir, Job{Front: front, Address: "127.0.0.1:18080", Origin: "127.0.0.1:18081"}); err != nil {
				t.Fatal(err)
			}
			all := ""
			for _, f := range k.files {
				text, err := os.ReadFile(filepath.Join(dir, f))
				if err != nil {
					t.Fatal(err)
				}
				all += string(text)
			}
			all += strings.Join(p.runArgs(dir, &Job{Address: "127.0.0.1:18080"}), " ")
			wants := []string{"18080", "127.0.0.1:18081"}
			if front == "files" {
				wants = []string{"18080", filepath.Join(dir, "www")}
			}
			if front == "sni" {
				wants = append(wants, Name)
			}
			if front == "https" {
				wants = append(wants, dir)
			}
			for _, want := range wants {
				if !strings.Contains(all, want) {
					t.Errorf("%s, %s: no %q in\n%s", k.name, front, want, all)
				}
			}
			if strings.Contains(all, "<no value>") || strings.Contains(all, "{{") {
				t.Errorf("%s, %s: a hole in\n%s", k.name, front, all)
			}
		}
	}
}

func TestFindErrors(t *testing.T) {
	f := func(name, binary, want string) {
		t.Helper()
		if _, err := Find(t.Context(), name, binary); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s, %q: got %v, want %q", name, binary, err, want)
		}
	}
	f("squid", "", `unknown proxy "squid": expected one of ["weir" "nginx"`)
	f("traefik", filepath.Join(t.TempDir(), "none"), "cannot find traefik")
	f("nginx", "/bin/true", `cannot tell the version of "/`)
}

// TestProcess: it is pinned, its children are known, and nothing of it is left.
func TestProcess(t *testing.T) {
	p, err := Start(Command{
		Path: "/bin/sh", Args: []string{"-c", "grep Cpus_allowed_list /proc/self/status; sleep 100 & echo up; wait"},
		Dir: t.TempDir(), CPUs: []int{0},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop()
	for !strings.Contains(p.Output(), "up") || len(p.PIDs()) < 2 {
		select {
		case <-p.done:
			t.Fatalf("it ended: %s", p.Output())
		case <-t.Context().Done():
			return
		default:
		}
	}
	pids := p.PIDs()
	if out := p.Output(); !strings.Contains(out, "Cpus_allowed_list:\t0\n") {
		t.Errorf("it is not pinned: %q", out)
	}
	p.Stop()
	p.Stop()
	for _, pid := range pids {
		if alive(pid) {
			t.Errorf("process %d is left", pid)
		}
	}
}

func TestReadyTellsWhyNot(t *testing.T) {
	address, err := FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	p, err := Start(Command{Path: "/bin/sh", Args: []string{"-c", "echo broken >&2; exit 3"}, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop()
	err = p.Ready(context.Background(), address)
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "broken") {
		t.Errorf("got %v", err)
	}
}
