package l7

import (
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"weir/pool/backend"
)

// secureOrigin is an HTTPS server whose certificate is for example.com; ca is the
// file of its authority.
func secureOrigin(t *testing.T, change func(c *tls.Config)) (addr, ca string, conns, requests *atomic.Int32) {
	t.Helper()
	conns, requests = new(atomic.Int32), new(atomic.Int32)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		if r.URL.Path == "/cut" { // the body goes on to the end of the connection, which is cut
			w.Header().Set("Connection", "close")
			c, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return
			}
			fmt.Fprint(c, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf")
			c.(*tls.Conn).NetConn().Close()
			return
		}
		fmt.Fprintf(w, "name %s host %s", r.TLS.ServerName, r.Host)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = &tls.Config{}
	if change != nil {
		change(s.TLS)
	}
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns.Add(1)
		}
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	ca = filepath.Join(t.TempDir(), "ca.pem")
	block := &pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}
	if err := os.WriteFile(ca, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	return s.Listener.Addr().String(), ca, conns, requests
}

func secureConfig(addr, settings string) string {
	return fmt.Sprintf(`
[pool.app]
servers = [%q]
[pool.app.tls]
%s
[[l7]]
name = "web"
listen = ["127.0.0.1:1"]
[[l7.route]]
pool = "app"
`, addr, settings)
}

func (r *rig) ask(path string) (status int, body string, err error) {
	r.t.Helper()
	resp, err := http.Get("http://" + r.addr + path)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	var b strings.Builder
	buf := make([]byte, 1024)
	for err == nil {
		var n int
		n, err = resp.Body.Read(buf)
		b.Write(buf[:n])
	}
	if err.Error() == "EOF" {
		err = nil
	}
	return resp.StatusCode, b.String(), err
}

func TestSecureUpstream(t *testing.T) {
	defer http.DefaultClient.CloseIdleConnections()
	addr, ca, conns, _ := secureOrigin(t, nil)
	r := newRig(t, strings.ReplaceAll(secureConfig(addr, fmt.Sprintf("ca = %q\nname = \"example.com\"", ca)), "%", "%%"))
	c := r.dial() // on one connection, which has its server's back before the next request
	for range 5 {
		if res, body := c.get("/"); res.StatusCode != 200 || body != "name example.com host www.example.com" {
			t.Fatalf("got %d %q", res.StatusCode, body)
		}
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections for 5 requests, want 1", n)
	}
	if _, body, err := r.ask("/cut"); err == nil {
		t.Errorf("a body that was cut passed for whole: %q", body)
	}
	// Other settings: connections of before do not count.
	r.apply(secureConfig(addr, fmt.Sprintf("ca = %q\nname = \"other.test\"", ca)))
	if status, _, _ := r.ask("/"); status != 502 {
		t.Errorf("with a name that the certificate has not: %d, want 502", status)
	}
}

// A server that does not verify gets nothing, and stays in rotation: the fault is
// one of settings.
func TestSecureUpstreamRefuses(t *testing.T) {
	defer http.DefaultClient.CloseIdleConnections()
	f := func(what string, change func(c *tls.Config), settings func(ca string) string) {
		t.Helper()
		addr, ca, _, requests := secureOrigin(t, change)
		r := newRig(t, strings.ReplaceAll(secureConfig(addr, settings(ca)), "%", "%%"))
		for range 6 { // more than a row of failures may have
			if status, body, _ := r.ask("/"); status != 502 {
				t.Errorf("%s: got %d %q, want 502", what, status, body)
			}
		}
		m := r.reg.Group("app").Members()[0]
		if s := m.Endpoint().State(); s != backend.StateHealthy {
			t.Errorf("%s: the server is %s", what, s)
		}
		if n := requests.Load(); n != 0 {
			t.Errorf("%s: the server got %d requests", what, n)
		}
		if !strings.Contains(r.log.String(), "cannot connect to a server by TLS") {
			t.Errorf("%s: nothing in the log", what)
		}
	}
	f("unknown authority", nil, func(string) string { return "" })
	f("wrong name", nil, func(ca string) string { return fmt.Sprintf("ca = %q\nname = \"other.test\"", ca) })
	f("too old", func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 },
		func(ca string) string { return fmt.Sprintf("ca = %q\nmin_version = \"1.3\"", ca) })
}

// The same check settings, but the check goes by TLS as the traffic does.
func TestSecureCheck(t *testing.T) {
	t.Parallel()
	defer http.DefaultClient.CloseIdleConnections()
	addr, ca, _, requests := secureOrigin(t, nil)
	config := secureConfig(addr, fmt.Sprintf("ca = %q", ca)) + `
[pool.app.health]
type = "http"
interval = "100ms"
`
	r := newRig(t, strings.ReplaceAll(config, "%", "%%"))
	for deadline := time.Now().Add(20 * time.Second); requests.Load() < 2; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("no check came")
		}
	}
	if s := r.reg.Group("app").Members()[0].Endpoint().State(); s != backend.StateHealthy {
		t.Errorf("the server is %s", s)
	}
}
