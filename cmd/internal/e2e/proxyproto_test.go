package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The PROXY protocol: who may say who the client is, and to whom Weir says it.

// xff is an HTTP server that answers with the X-Forwarded-For it got.
func xff(t testing.TB) *scripted {
	return startScript(t, func(s *scripted, p *peer) {
		for r := s.next(p); r != nil; r = s.next(p) {
			got := strings.Join(r.Header["X-Forwarded-For"], "; ")
			p.send("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(got), got)
		}
	})
}

const (
	proxyV1 = "PROXY TCP4 192.0.2.1 198.51.100.1 4000 443\r\n"
	proxyV2 = "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x01\x0f\xa0\x01\xbb"
)

// TestRow37_SpoofedProxyHeader: a header is believed from where it is required, and
// from nowhere else; what claims to be one and never ends is cut off.
func TestRow37_SpoofedProxyHeader(t *testing.T) {
	const balancer, stranger = "127.0.0.2", "127.0.0.1"
	s, l4, l7 := xff(t), freeAddr(t), freeAddr(t)
	key := `proxy_protocol = ["127.0.0.2"]`
	w := startWeir(t, pool("app", s.addr)+tcp(l4, "app", key)+
		strings.Replace(web(l7, "app"), "[[l7.route]]", key+"\n[[l7.route]]", 1))
	get := func(id, more string) string {
		return "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Id: " + id + "\r\n" + more + "\r\n"
	}
	f := func(from, addr, sent, want string) {
		t.Helper()
		p := dialFrom(t, from, addr)
		p.Write([]byte(sent))
		p.CloseWrite()
		got, _ := io.ReadAll(p) // a refusal may end with a reset
		switch {
		case want == "" && strings.HasPrefix(string(got), "HTTP/1.1 200"):
			t.Errorf("%q from %s was served: %q", sent, from, got)
		case want != "" && !strings.HasSuffix(string(got), "\r\n\r\n"+want):
			t.Errorf("%q from %s: got %q, want %q", sent, from, got, want)
		}
	}
	for _, header := range []string{proxyV1, proxyV2} {
		f(balancer, l7, header+get("a", "X-Forwarded-For: 203.0.113.9\r\n"), "192.0.2.1")
		f(balancer, l4, header+get("b", "X-Forwarded-For: 203.0.113.9\r\n"), "203.0.113.9") // bytes are bytes
		f(stranger, l7, header+get("spoof", ""), "")
		f(stranger, l4, header+get("spoof", ""), "")
	}
	f(stranger, l7, get("c", "X-Forwarded-For: 203.0.113.9\r\n"), stranger)
	for _, addr := range []string{l4, l7} {
		f(balancer, addr, get("spoof", ""), "")
		f(balancer, addr, "PROXY TCP4 192.0.2.1\r\n"+get("spoof", ""), "")

		endless := dialFrom(t, balancer, addr)
		for range 1000 {
			if _, err := endless.Write([]byte("PROXY " + strings.Repeat("x", 101))); err != nil {
				break
			}
		}
		if got, err := io.ReadAll(endless); len(got) > 0 {
			t.Errorf("got %q, %v for an endless header", got, err)
		}
	}
	if n := s.count("spoof"); n != 0 {
		t.Errorf("%d spoofed requests reached the backend", n)
	}
	waitFor(t, patience, "the refusals are counted", func() bool {
		return w.metric(t, `weir_l4_closed_total{listener="tcp",reason="proxy_refused"`) == 2 &&
			w.metric(t, `weir_l4_closed_total{listener="tcp",reason="proxy_malformed"`) == 3 &&
			w.metric(t, `weir_l4_closed_total{listener="web",reason="proxy_malformed"`) == 3
	})
}

// startHaproxy runs HAProxy with these sections until the test ends; addr is polled.
func startHaproxy(t testing.TB, addr, sections string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "haproxy.cfg")
	conf := `defaults
	timeout connect 20s
	timeout client 20s
	timeout server 20s
` + sections
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	startServer(t, func() bool { return accepts(addr) }, "haproxy", "-db", "-f", file)
}

// TestHaproxyInFront: Weir behind HAProxy sees the client's address.
func TestHaproxyInFront(t *testing.T) {
	const client = "127.0.0.7"
	s, l4, l7 := xff(t), freeAddr(t), freeAddr(t)
	key := `proxy_protocol = ["127.0.0.1"]`
	w := startWeirWith(t, options{logging: `client_ip = "full"`}, pool("app", s.addr)+tcp(l4, "app", key)+
		strings.Replace(web(l7, "app"), "[[l7.route]]", key+"\n[[l7.route]]", 1))
	for _, send := range []string{"send-proxy", "send-proxy-v2 proxy-v2-options unique-id,crc32c"} {
		for _, to := range []string{l4, l7} {
			addr := freeAddr(t)
			startHaproxy(t, addr, fmt.Sprintf(`listen front
	mode tcp
	bind %s
	unique-id-format %%[uuid]
	server weir %s %s
`, addr, to, send))
			p := dialFrom(t, client, addr)
			p.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
			resp, err := p.response(http.MethodGet)
			if err != nil {
				t.Fatalf("%s: %v", send, err)
			}
			body, err := io.ReadAll(resp.Body)
			p.Close()
			want := ""
			if to == l7 {
				want = client
			}
			if string(body) != want || err != nil {
				t.Errorf("%s: X-Forwarded-For is %q, %v, want %q", send, body, err, want)
			}
		}
	}
	waitFor(t, patience, "the access log names the client", func() bool {
		return strings.Count(readFile(t, filepath.Join(w.dir, "access.log")), `"`+client) >= 4
	})
}

// startProxiedNginx runs an nginx that wants a PROXY header, and answers with the
// client's address in it.
func startProxiedNginx(t testing.TB) string {
	t.Helper()
	dir, addr := t.TempDir(), freeAddr(t)
	who := ""
	if os.Getuid() == 0 {
		who = "user root;\n" // the directory of a test is its owner's alone
	}
	conf := fmt.Sprintf(`%sworker_processes 1;
daemon off;
pid %[2]s/pid;
error_log %[2]s/error.log;
events { worker_connections 1024; }
http {
	log_format who "$proxy_protocol_addr";
	access_log %[2]s/access.log who;
	client_body_temp_path %[2]s/body;
	proxy_temp_path %[2]s/proxy;
	fastcgi_temp_path %[2]s/fastcgi;
	uwsgi_temp_path %[2]s/uwsgi;
	scgi_temp_path %[2]s/scgi;
	server {
		listen %[3]s proxy_protocol;
		return 200 "$proxy_protocol_addr";
	}
}
`, who, dir, addr)
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	startServer(t, func() bool { return accepts(addr) }, "nginx",
		"-p", dir, "-c", file, "-e", filepath.Join(dir, "error.log"))
	return addr
}

// TestNginxAndHaproxyBehind: servers that want a header get one, on L4 and L7, each
// client its own, and checks get through too.
func TestNginxAndHaproxyBehind(t *testing.T) {
	nginx, haproxy := startProxiedNginx(t), freeAddr(t)
	startHaproxy(t, haproxy, fmt.Sprintf(`frontend f
	mode http
	bind %s accept-proxy
	http-request return status 200 content-type text/plain lf-string "%%[src]"
`, haproxy))
	for name, server := range map[string]string{"nginx": nginx, "haproxy": haproxy} {
		for _, version := range []string{"v1", "v2"} {
			t.Run(name+" "+version, func(t *testing.T) {
				l4, l7 := freeAddr(t), freeAddr(t)
				conf := strings.Replace(pool("app", server), "[pool.app]", "[pool.app]\nproxy_protocol = \""+version+`"
health = { type = "http", interval = "50ms" }`, 1)
				w := startWeir(t, conf+tcp(l4, "app")+web(l7, "app"))
				for _, addr := range []string{l4, l7} {
					for _, client := range []string{"127.0.0.1", "127.0.0.5", "127.0.0.6", "127.0.0.5"} {
						p := dialFrom(t, client, addr)
						for range 3 { // on one connection of the client
							p.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
							resp, err := p.response(http.MethodGet)
							if err != nil {
								t.Fatal(err)
							}
							got, err := io.ReadAll(resp.Body)
							if string(got) != client || err != nil {
								t.Errorf("%s is taken for %q, %v", client, got, err)
							}
						}
						p.Close()
					}
				}
				checks := `weir_backend_health_checks_total{pool="app",backend="` + server + `",result=`
				waitFor(t, patience, "checks pass", func() bool { return w.metric(t, checks+`"ok"`) >= 3 })
				if n := w.metric(t, checks+`"failed"`); n != 0 {
					t.Errorf("%v checks failed", n)
				}
				if up := w.metric(t, `weir_backend_up{pool="app"`); up != 1 {
					t.Errorf("%v servers are up", up)
				}
			})
		}
	}
}
