package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/conf"
	"weir/l4"
	"weir/l7"
	"weir/pool/backend"
	"weir/pool/metric"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeProcess is a process with real backends and a scripted reload.
type fakeProcess struct {
	config   *conf.Config
	backends *backend.Registry
	ready    error
	reload   error

	// Sessions and EndSessions answer with the page, and keep what they were asked.
	page   l4.Page
	fail   error
	filter l4.Filter
	after  uint64
	limit  int

	purged l7.Purge
}

func (p *fakeProcess) Ready() error { return p.ready }

func (p *fakeProcess) Running() Running {
	return Running{Config: p.config, Version: 7, Since: time.Unix(1e9, 0).UTC()}
}

func (p *fakeProcess) Reload(context.Context) (Running, error) { return p.Running(), p.reload }
func (p *fakeProcess) Pools() []backend.GroupStatus            { return p.backends.Status() }
func (p *fakeProcess) Pool(name string) *backend.Group         { return p.backends.Group(name) }

func (p *fakeProcess) Sessions(_ context.Context, f l4.Filter, after uint64, limit int) (l4.Page, error) {
	p.filter, p.after, p.limit = f, after, limit
	return p.page, p.fail
}

func (p *fakeProcess) EndSessions(_ context.Context, f l4.Filter) (int, error) {
	p.filter = f
	return len(p.page.Sessions), p.fail
}

// CacheStatus and PurgeCache answer with a store of one object.
func (p *fakeProcess) CacheStatus() l7.CacheStatus {
	return l7.CacheStatus{Objects: 1, Routes: []l7.RouteCacheStatus{{Listener: "web", Route: "*", Hits: 3, HitRatio: 0.75}}}
}

func (p *fakeProcess) PurgeCache(x l7.Purge) (int, error) {
	p.purged = x
	return 1, x.Check()
}

const testConfig = `
[pool.app]
servers = ["127.0.0.1:9", { addr = "unix:/nowhere.sock", weight = 3 }]
[[l7]]
name = "web"
listen = ["127.0.0.1:0"]
[[l7.route]]
pool = "app"
`

func parse(t *testing.T, text string) *conf.Config {
	t.Helper()
	c, err := conf.Parse("test.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// startServer serves testConfig with the given [admin] until the test ends.
func startServer(t *testing.T, adminTable string) (*Server, *fakeProcess) {
	t.Helper()
	dir := t.TempDir()
	c := parse(t, adminTable+testConfig)
	c.Process.StateDir, c.Process.RuntimeDir = filepath.Join(dir, "state"), filepath.Join(dir, "run")
	p := &fakeProcess{config: c, backends: backend.New(backend.Options{})}
	snapshot, err := p.backends.Prepare(t.Context(), c.Pools, c.DNS)
	if err != nil {
		t.Fatal(err)
	}
	p.backends.Commit(snapshot)
	s, err := Listen(Options{
		Config: c, Process: p, Metrics: metric.New(), Log: slog.New(slog.DiscardHandler), Build: "test build",
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
		p.backends.Close()
	})
	// A configuration of a real process names the port.
	c.Admin.Listen = s.Addr()
	return s, p
}

const loopback = "[admin]\nlisten = \"127.0.0.1:0\"\n"

// request sends one request; headers are "Name: value".
func request(t *testing.T, s *Server, method, path, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	addr := s.Addr()
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			if addr.Network == "unix" {
				return (&net.Dialer{}).DialContext(ctx, "unix", addr.Path)
			}
			return (&net.Dialer{}).DialContext(ctx, "tcp", addr.String())
		},
	}
	base := "http://localhost"
	if addr.Network == "tcp" {
		base = "http://" + addr.String()
	}
	req, err := http.NewRequestWithContext(t.Context(), method, base+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			req.Host = value
		}
		req.Header.Add(name, value)
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(answer)
}

// Row 59: no token, a wrong Origin, another path.
func TestAccess(t *testing.T) {
	s, _ := startServer(t, loopback)
	own := s.Addr().String()
	token := "Authorization: Bearer " + s.Token()
	f := func(method, path string, want int, headers ...string) {
		t.Helper()
		resp, body := request(t, s, method, path, "", headers...)
		if resp.StatusCode != want {
			t.Fatalf("got %d %q, want %d", resp.StatusCode, body, want)
		}
		if want >= 400 && !json.Valid([]byte(body)) {
			t.Fatalf("the error is not JSON: %q", body)
		}
	}
	// Open to all, whatever they say about themselves.
	f("GET", "/healthz", 200)
	f("GET", "/readyz", 200)
	f("GET", "/metrics", 200, "Host: metrics.example")
	f("HEAD", "/metrics", 200)
	f("POST", "/metrics", 405)

	f("GET", "/api/v1/pools", 401)
	f("GET", "/api/v1/pools", 401, "Authorization: Bearer wrong")
	f("GET", "/api/v1/pools", 401, "Authorization: Bearer")
	f("GET", "/api/v1/pools", 200, "Authorization: bearer "+s.Token()) // RFC 9110 section 11.1: any case
	f("GET", "/api/v1/pools", 401, "Authorization: Basic "+s.Token())
	f("GET", "/api/v1/pools", 401, "Authorization: "+s.Token())
	f("GET", "/api/v1/pools?token="+s.Token(), 401)
	f("GET", "/api/v1/pools", 200, token)
	f("HEAD", "/api/v1/pools", 200, token)
	f("POST", "/api/v1/reload", 401)
	f("GET", "/api/v1/reload", 401)
	f("GET", "/api/v1/reload", 405, token)
	f("DELETE", "/api/v1/config", 405, token)

	f("GET", "/api/v1/pools", 403, token, "Host: evil.example")
	f("GET", "/api/v1/pools", 403, token, "Host: 127.0.0.1.evil.example")
	f("GET", "/api/v1/pools", 403, token, "Host: 192.0.2.1")
	f("GET", "/api/v1/pools", 200, token, "Host: localhost:1234")
	f("GET", "/api/v1/pools", 200, token, "Host: [::1]:1234")
	f("GET", "/api/v1/pools", 403, token, "Origin: http://evil.example")
	f("GET", "/api/v1/pools", 403, token, "Origin: null")
	f("GET", "/api/v1/pools", 403, token, "Origin: https://"+own)
	f("GET", "/api/v1/pools", 403, token, "Origin: http://"+own, "Origin: http://evil.example")
	f("GET", "/api/v1/pools", 200, token, "Origin: http://"+own)

	f("GET", "/", 404, token)
	f("GET", "/metrics/", 404)
	f("GET", "//metrics", 404)
	f("GET", "/metricsx", 404)
	f("GET", "/%6detrics", 404)
	f("GET", "/api/v1/../v1/pools", 404, token)
	f("GET", "/api/v1/pools/", 404, token)
	f("GET", "/api/v1/pools/app/", 404, token)
	f("GET", "/debug/pprof/", 404, token)
}

// Row 59: a bind beyond loopback.
func TestListenRefused(t *testing.T) {
	f := func(change func(c *conf.Config), want string) {
		t.Helper()
		c := parse(t, testConfig)
		c.Process.StateDir, c.Process.RuntimeDir = t.TempDir(), t.TempDir()
		change(c)
		s, err := Listen(Options{Config: c, Metrics: metric.New(), Log: slog.New(slog.DiscardHandler)})
		if err == nil {
			s.Close(t.Context())
			t.Fatalf("listens on %v", s.Addr())
		}
		if !strings.Contains(err.Error(), want) {
			t.Fatalf("got %q, want %q", err, want)
		}
	}
	token := conf.NewSecret("0123456789abcdef")
	f(func(c *conf.Config) { c.Admin.Listen = tcp("") }, "needs cert, key and token")
	f(func(c *conf.Config) { c.Admin.Listen = tcp("0.0.0.0") }, "needs cert, key and token")
	f(func(c *conf.Config) { c.Admin.Listen = tcp("::") }, "needs cert, key and token")
	f(func(c *conf.Config) { c.Admin.Listen = tcp("192.0.2.1") }, "needs cert, key and token")
	f(func(c *conf.Config) { c.Admin.Listen, c.Admin.Token = tcp("0.0.0.0"), token }, "needs cert, key and token")
	f(func(c *conf.Config) { c.Admin.Listen, c.Admin.Cert = tcp("0.0.0.0"), "x.pem" }, "needs cert, key and token")
	f(func(c *conf.Config) { c.Admin.Listen, c.Admin.Cert = tcp("127.0.0.1"), "x.pem" }, "cannot load the certificate")
	f(func(c *conf.Config) { c.Admin.Listen = conf.Addr{Network: "unix", Path: "@weir"} }, "abstract")
	f(func(c *conf.Config) {
		c.Admin.Listen = conf.Addr{Network: "unix", Path: "/" + strings.Repeat("x", 107)}
	}, "the path has 108 bytes")
}

func tcp(host string) conf.Addr { return conf.Addr{Network: "tcp", Host: host} }

func TestSocket(t *testing.T) {
	s, p := startServer(t, "")
	f := func(path string, want int, headers ...string) {
		t.Helper()
		if resp, body := request(t, s, "GET", path, "", headers...); resp.StatusCode != want {
			t.Fatalf("got %d %q, want %d", resp.StatusCode, body, want)
		}
	}
	f("/metrics", 200)
	f("/api/v1/pools", 200)
	f("/api/v1/pools", 403, "Origin: http://localhost")

	path := s.Addr().Path
	info, err := os.Stat(path)
	if err != nil || info.Mode() != os.ModeSocket|0o600 {
		t.Fatalf("got %v, %v", info.Mode(), err)
	}
	if filepath.Dir(path) != p.config.Process.RuntimeDir {
		t.Fatalf("socket in %q", path)
	}
	second := Options{Config: p.config, Metrics: metric.New(), Log: slog.New(slog.DiscardHandler)}
	if _, err := Listen(second); err == nil || !strings.Contains(err.Error(), "another process serves it") {
		t.Fatalf("a second server: %v", err)
	}
}

// A socket that a killed process left behind is in nobody's way.
func TestStaleSocket(t *testing.T) {
	c := parse(t, testConfig)
	c.Process.RuntimeDir = t.TempDir()
	old, err := net.Listen("unix", SocketAddr(c).Path)
	if err != nil {
		t.Fatal(err)
	}
	old.(*net.UnixListener).SetUnlinkOnClose(false)
	old.Close()
	s, err := Listen(Options{Config: c, Metrics: metric.New(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestMakePrivate(t *testing.T) {
	f := func(make func(dir string) error, want string) {
		t.Helper()
		dir := filepath.Join(t.TempDir(), "weir")
		if err := make(dir); err != nil {
			t.Fatal(err)
		}
		err := MakePrivate(dir)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Fatalf("got %v, want %q", err, want)
		}
	}
	f(func(string) error { return nil }, "")
	f(func(dir string) error { return os.Mkdir(dir, 0o755) }, "")
	f(func(dir string) error { return errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, 0o777)) }, "lets others write")
	f(func(dir string) error { return os.Symlink(t.TempDir(), dir) }, "not a directory")
	f(func(dir string) error { return os.WriteFile(dir, nil, 0o600) }, "not a directory")
}

func TestToken(t *testing.T) {
	c := parse(t, testConfig)
	c.Process.StateDir = filepath.Join(t.TempDir(), "a", "state")
	first, err := makeToken(c)
	if err != nil || len(first) != 64 {
		t.Fatalf("got %q, %v", first, err)
	}
	if again, err := makeToken(c); err != nil || again != first {
		t.Fatalf("a second start gives %q, %v", again, err)
	}
	info, err := os.Stat(TokenFile(c))
	if err != nil || info.Mode() != 0o600 {
		t.Fatalf("got %v, %v", info.Mode(), err)
	}
	if left, _ := filepath.Glob(TokenFile(c) + "-*"); len(left) != 0 {
		t.Fatalf("left behind: %q", left)
	}

	f := func(text string, mode os.FileMode, want string) {
		t.Helper()
		os.Remove(TokenFile(c))
		if err := os.WriteFile(TokenFile(c), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if _, err := makeToken(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Fatalf("got %v, want %q", err, want)
		}
	}
	f(first, 0o644, "want a file with mode 0600")
	f("short\n", 0o600, "5 characters, want at least 16")
	f("", 0o600, "0 characters")

	c.Admin.Token = conf.NewSecret("from the configuration")
	if got, err := makeToken(c); err != nil || got != "from the configuration" {
		t.Fatalf("got %q, %v", got, err)
	}
}
