package e2e

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// onePort is an [[l4]] that takes everything on one port and tells it apart.
const onePort = `
[[l4]]
name = "edge"
listen = [%q]
pool = "ssh"
server_first_wait = "200ms"
route = [
  { protocol = ["tls"], l7 = "secure" },
  { name = "db-h2", sni = ["db.example.com"], alpn = ["h2"], pool = "h2" },
  { sni = ["db.example.com"], pool = "db" },
  { alpn = ["postgresql"], pool = "direct" },
  { protocol = ["postgres"], pool = "postgres" },
  { protocol = ["http1"], l7 = "plain" },
  { protocol = ["http1"], source = ["127.0.0.9"], pool = "office" },
  { protocol = ["http2"], pool = "h2c" },
]

[[l7]]
name = "plain"
route = [{ pool = "app" }]
`

// startOnePort runs Weir with it, and a server of its own for every route.
func startOnePort(t *testing.T, p *postgres) (w *weir, edge string, ca *authority) {
	t.Helper()
	ca, edge = newAuthority(t, t.TempDir()), freeAddr(t)
	cert, key := ca.issue(t, "www", "www.example.com")
	ssh := startScript(t, func(_ *scripted, p *peer) {
		p.send("SSH-2.0-server\r\n")
		io.Copy(p.TCPConn, p)
	})
	text := pool("app", startOrigin(t, "app").addr) + pool("office", startOrigin(t, "office").addr) +
		pool("h2", startServerNamed(t, ca, "h2")) + pool("db", startServerNamed(t, ca, "db")) +
		pool("direct", startServerNamed(t, ca, "direct")) + pool("h2c", startServerNamed(t, nil, "h2c")) +
		pool("postgres", p.addr) + pool("ssh", ssh.addr) +
		fmt.Sprintf(onePort, edge) + tlsWeb("secure", "", cert, key, "app")
	return startWeir(t, text), edge, ca
}

// startServerNamed is a server of HTTP/1 and HTTP/2 that says its name and the version,
// with TLS for db.example.com if ca is not nil.
func startServerNamed(t *testing.T, ca *authority, name string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Protocols: new(http.Protocols), Handler: http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, name, " ", r.Proto) })}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetHTTP2(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(func() { s.Close() })
	if ca == nil {
		go s.Serve(l)
		return l.Addr().String()
	}
	if name == "direct" {
		s.TLSConfig = &tls.Config{NextProtos: []string{"postgresql"}}
	}
	cert, key := ca.issue(t, name, name+".test", "db.example.com")
	go s.ServeTLS(l, cert, key)
	return l.Addr().String()
}

// TestOnePort: real clients of different protocols find their servers on one port.
func TestOnePort(t *testing.T) {
	p := startPostgres(t)
	w, edge, ca := startOnePort(t, p)
	_, port, _ := net.SplitHostPort(edge)
	curl := func(want string, args ...string) {
		t.Helper()
		args = append([]string{
			"-sS", "--max-time", "20", "--cacert", ca.file,
			"--resolve", "db.example.com:" + port + ":127.0.0.1", "--resolve", "www.example.com:" + port + ":127.0.0.1",
		}, args...)
		if got, err := tryCommand(t, nil, "curl", args...); err != nil || got != want {
			t.Errorf("curl %q: got %q, %v; want %q", args[8:], got, err, want)
		}
	}
	curl("app", "http://www.example.com:"+port+"/name")
	curl("app", "https://www.example.com:"+port+"/name")
	curl("office", "--interface", "127.0.0.9", "http://"+edge+"/name")
	curl("h2c HTTP/2.0", "--http2-prior-knowledge", "http://"+edge+"/")
	curl("h2 HTTP/2.0", "--http2", "https://db.example.com:"+port+"/")
	curl("db HTTP/1.1", "--http1.1", "https://db.example.com:"+port+"/")
	curl("db HTTP/1.1", "--no-alpn", "https://db.example.com:"+port+"/")

	for _, mode := range []string{"disable", "prefer", "verify-full"} {
		got, err := psql(t, fmt.Sprintf("host=db.example.com hostaddr=127.0.0.1 port=%s user=weir dbname=postgres "+
			"sslmode=%s sslrootcert=%s connect_timeout=10", port, mode, p.ca),
			"SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
		if want := map[bool]string{true: "f", false: "t"}[mode == "disable"]; err != nil || got != want {
			t.Errorf("psql with sslmode=%s: %q, %v; want %q", mode, got, err, want)
		}
	}
	out, err := tryCommand(t, nil, "sh", "-c", "openssl s_client -connect "+edge+
		" -servername any.example.com -alpn postgresql </dev/null 2>&1")
	if !strings.Contains(out, "CN = direct.test") && !strings.Contains(out, "CN=direct.test") {
		t.Errorf("openssl s_client: %v\n%s", err, out)
	}

	silent := dial(t, edge)
	line := make([]byte, len("SSH-2.0-server\r\n"))
	if _, err := io.ReadFull(silent, line); err != nil || string(line) != "SSH-2.0-server\r\n" {
		t.Errorf("a silent client got %q, %v", line, err)
	}
	talks := dial(t, edge) // SSH clients do not wait for the server either
	talks.send("SSH-2.0-client\r\n")
	if _, err := io.ReadFull(talks, line); err != nil || string(line) != "SSH-2.0-server\r\n" {
		t.Errorf("an SSH client got %q, %v", line, err)
	}
	silent.Close()
	talks.Close()

	for route, n := range map[string]float64{
		"db-h2": 1, "db.example.com": 2, "alpn:postgresql": 1, "protocol:http2": 1, "protocol:tls": 1,
		"protocol:http1": 1, "protocol:http1+source:127.0.0.9/32": 1, "default": 2,
	} {
		if got := w.metric(t, `weir_l4_routed_total{listener="edge",route="`+route+`"}`); got != n {
			t.Errorf("route %q was chosen %v times, want %v", route, got, n)
		}
	}
	waitFor(t, patience, "the access log has the routes", func() bool {
		text := readFile(t, filepath.Join(w.dir, "access.log"))
		return strings.Contains(text, `"route":"db-h2"`) && strings.Contains(text, `"route":"protocol:postgres"`) &&
			strings.Contains(text, `"route":"default"`)
	})
}

// TestRow38_UnfinishedFirstBytes: what may still become a protocol with a route, and
// does not, goes nowhere, though the listener has a pool.
func TestRow38_UnfinishedFirstBytes(t *testing.T) {
	served := startScript(t, func(_ *scripted, p *peer) { io.Copy(io.Discard, p) })
	edge := freeAddr(t)
	w := startWeir(t, pool("rest", served.addr)+fmt.Sprintf(`
[[l4]]
name = "edge"
listen = [%q]
pool = "rest"
sniff_timeout = "500ms"
route = [
  { protocol = ["http1", "http2", "postgres"], pool = "rest" },
  { sni = ["a.example.com"], pool = "rest" },
]
`, edge))
	begun := []string{"", "G", "GET ", "GET http:/", "PRI * HTTP/2.0\r\n\r\nSM\r\n", "\x00\x00\x00\x08\x04\xd2\x16", "\x16\x03\x01"}
	var open []*peer
	for _, b := range begun {
		for _, half := range []bool{false, true} {
			p := dial(t, edge)
			io.WriteString(p.TCPConn, b)
			if half {
				p.CloseWrite()
			}
			open = append(open, p)
		}
	}
	for _, p := range open {
		if n, _ := io.Copy(io.Discard, p); n > 0 {
			t.Errorf("unfinished first bytes were answered with %d bytes", n)
		}
	}
	if n := served.conns.Load(); n != 0 {
		t.Errorf("%d unfinished connections reached a server", n)
	}
	for _, reason := range []string{"sniff_timeout", "sniff_end"} {
		name := `weir_l4_closed_total{listener="edge",reason="` + reason + `"}`
		waitFor(t, patience, name, func() bool { return w.metric(t, name) == float64(len(begun)) })
	}
}

// TestOnePortAfterReload: new connections follow new routes, open ones stay.
func TestOnePortAfterReload(t *testing.T) {
	a, b, edge := startOrigin(t, "a"), startOrigin(t, "b"), freeAddr(t)
	conf := func(to string) string {
		return pool("a", a.addr) + pool("b", b.addr) + fmt.Sprintf(`
[[l4]]
name = "edge"
listen = [%q]
route = [{ name = "to-%s", source = ["127.0.0.0/8"], pool = %q }]
`, edge, to, to)
	}
	w := startWeir(t, conf("a"))
	before := dial(t, edge)
	before.wantName(t, "a")
	w.write(t, conf("b"))
	if code, answer := w.reload(t); code != http.StatusOK {
		t.Fatalf("reload: %d %s", code, answer)
	}
	before.wantName(t, "a")
	after := dial(t, edge)
	after.wantName(t, "b")
	if n := w.metric(t, `weir_l4_routed_total{listener="edge",route="to-b"}`); n != 1 {
		t.Errorf("the new route was chosen %v times", n)
	}
	_, text, err := w.call(http.MethodGet, "/metrics", "", nil)
	if err != nil || strings.Contains(text, `route="to-a"`) {
		t.Errorf("the old route is still shown (%v)", err)
	}
}

// TestALPNOfRealClients: crypto/tls with any list goes by what it offers.
func TestALPNOfRealClients(t *testing.T) {
	p := startPostgres(t)
	_, edge, ca := startOnePort(t, p)
	f := func(want string, name string, alpn ...string) {
		t.Helper()
		d := tls.Dialer{Config: &tls.Config{ServerName: name, NextProtos: alpn, RootCAs: ca.pool, InsecureSkipVerify: true}}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		c, err := d.DialContext(ctx, "tcp", edge)
		if err != nil { // the server may refuse the list; its certificate came before
			t.Errorf("%s with %q: %v", name, alpn, err)
			return
		}
		defer c.Close()
		if got := c.(*tls.Conn).ConnectionState().PeerCertificates[0].Subject.CommonName; got != want {
			t.Errorf("%s with %q: certificate of %s, want %s", name, alpn, got, want)
		}
	}
	f("h2.test", "db.example.com", "h2")
	f("h2.test", "db.example.com", "http/1.1", "h2")
	f("h2.test", "DB.example.com", "postgresql", "h2")
	f("db.test", "db.example.com", "http/1.1")
	f("db.test", "db.example.com")
	f("direct.test", "other.example.com", "postgresql", "h2")
	f("direct.test", "", "postgresql", "http/1.1")
	f("www.example.com", "www.example.com", "http/1.1")
	f("www.example.com", "other.example.com")
}
