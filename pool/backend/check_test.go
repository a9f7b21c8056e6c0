package backend

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"weir/conf"
)

// checkResult runs the check h against address and words the outcome.
func checkResult(t *testing.T, address string, h conf.Health) string {
	t.Helper()
	a := netip.MustParseAddrPort(address)
	p := tcpPlace(conf.Addr{Network: "tcp", Host: a.Addr().String(), Port: a.Port()}, a.Addr(), "")
	return placeResult(p, h)
}

func placeResult(p place, h conf.Health) string {
	e := &Endpoint{key: endpointKey{network: p.network, address: p.address}, server: p.server, health: h}
	timeout := h.Timeout
	if timeout == 0 {
		timeout = 10 * time.Second
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if _, err := (netProber{}).check(ctx, e); err != nil {
		return err.Error()
	}
	return "ok"
}

func TestHTTPCheck(t *testing.T) {
	block := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "host=%s agent=%s close=%v method=%s", r.Host, r.UserAgent(), r.Close, r.Method)
	})
	mux.HandleFunc("/query", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.URL.RawQuery) })
	mux.Handle("/moved", http.RedirectHandler("/500", http.StatusFound))
	mux.HandleFunc("/500", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
	mux.HandleFunc("/204", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) })
	mux.HandleFunc("/hang", func(http.ResponseWriter, *http.Request) { <-block })
	mux.HandleFunc("/stall", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "some")
		w.(http.Flusher).Flush()
		<-block
	})
	mux.HandleFunc("/late", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, strings.Repeat(" ", maxCheckBody-2), "late")
	})
	mux.HandleFunc("/endless", func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := w.Write(make([]byte, 4096)); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/head", func(w http.ResponseWriter, _ *http.Request) {
		for i := range 100 {
			w.Header().Set(fmt.Sprintf("X-%d", i), strings.Repeat("x", 1000))
		}
	})
	mux.HandleFunc("/hints", func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.URL.RawQuery)
		for range 1 + n {
			w.WriteHeader(http.StatusEarlyHints)
		}
	})
	s := httptest.NewServer(mux)
	t.Cleanup(func() {
		close(block)
		s.Close()
	})
	address := s.Listener.Addr().String()
	f := func(h conf.Health, want string) {
		t.Helper()
		h.Type = checkHTTP
		if got := checkResult(t, address, h); got != want && (want == "ok" || !strings.Contains(got, want)) {
			t.Errorf("%+v: got %q, want %q", h, got, want)
		}
	}
	short := 50 * time.Millisecond

	f(conf.Health{Path: "/ok"}, "ok")
	f(conf.Health{Path: "/ok", Body: "host=" + address + " agent=weir-health close=true method=GET"}, "ok")
	f(conf.Health{Path: "/ok", Host: "app.test", Body: "host=app.test"}, "ok")
	f(conf.Health{Path: "/query?a=b%20c", Body: "a=b%20c"}, "ok")
	f(conf.Health{Path: "/204"}, "ok")
	f(conf.Health{Path: "/moved"}, "ok")
	f(conf.Health{Path: "/moved", Status: []int{200}}, "status 302, expected [200]")
	f(conf.Health{Path: "/500"}, "status 500, expected 200-399")
	f(conf.Health{Path: "/500", Status: []int{200, 500}}, "ok")
	f(conf.Health{Path: "/absent"}, "status 404, expected 200-399")
	f(conf.Health{}, "status 404")
	f(conf.Health{Path: "/ok", Body: "absent"}, `does not contain "absent"`)
	f(conf.Health{Path: "/late", Body: "  la"}, "ok")
	f(conf.Health{Path: "/late", Body: "lat"}, `body of 65536 bytes does not contain "lat"`)
	f(conf.Health{Path: "/endless", Body: "x"}, `body of 65536 bytes does not contain "x"`)
	f(conf.Health{Path: "/endless"}, "ok")
	f(conf.Health{Path: "/head"}, "head of the answer is longer than 65536 bytes")
	f(conf.Health{Path: "/hints"}, "ok")
	f(conf.Health{Path: "/hints?9"}, "5 interim answers and no final one")
	f(conf.Health{Path: "no slash"}, "cannot use check path")
	f(conf.Health{Path: "/hang", Timeout: short}, errCheckTimeout.Error())
	f(conf.Health{Path: "/stall", Timeout: short, Body: "more"}, errCheckTimeout.Error())
	f(conf.Health{Path: "/stall", Body: "some", Timeout: 2 * time.Second}, "ok")
}

func TestCheckOfStrangers(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("SSH-2.0-x\r\n"))
			_ = c.Close()
		}
	}()
	address := l.Addr().String()
	port := netip.MustParseAddrPort(address).Port()
	if got := checkResult(t, address, conf.Health{Type: checkTCP}); got != "ok" {
		t.Errorf("tcp: %s", got)
	}
	if got := checkResult(t, "127.0.0.1:1", conf.Health{Type: checkTCP, Port: port}); got != "ok" {
		t.Errorf("tcp on another port: %s", got)
	}
	if got := checkResult(t, address, conf.Health{Type: checkHTTP, Path: "/"}); got == "ok" {
		t.Error("http: a server that does not speak it passes")
	}
	_ = l.Close()
	<-done
	if got := checkResult(t, address, conf.Health{Type: checkTCP}); !strings.Contains(got, "refused") {
		t.Errorf("tcp, closed port: %s", got)
	}
}

func TestCheckOfUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Host) })}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l)
	}()
	p := unixPlace(conf.Addr{Network: "unix", Path: path})
	if got := placeResult(p, conf.Health{Type: checkTCP, Port: 99}); got != "ok" {
		t.Errorf("tcp: %s", got)
	}
	if got := placeResult(p, conf.Health{Type: checkHTTP, Path: "/", Body: "localhost"}); got != "ok" {
		t.Errorf("http: %s", got)
	}
	_ = s.Close()
	<-done
}

// Rows 1 and 7, with real sockets: a server that goes away is out at once and
// another is picked; when it is back, so is the member, with a check and without.
func TestServerGoesAndComesBack(t *testing.T) {
	for _, health := range []conf.Health{
		{},
		{
			Type: checkTCP, Interval: 20 * time.Millisecond, DownInterval: 20 * time.Millisecond,
			Timeout: 5 * time.Second, Rise: 1, Fall: 1,
		},
	} {
		serve := func(address string) net.Listener {
			deadline := time.Now().Add(15 * time.Second)
			for {
				l, err := net.Listen("tcp", address)
				if err == nil {
					return l
				}
				if time.Now().After(deadline) {
					t.Fatal(err)
				}
				time.Sleep(10 * time.Millisecond) // someone's outgoing connection has the port
			}
		}
		a, b := serve("127.0.0.1:0"), serve("127.0.0.1:0")
		p := testPool("p", "", []conf.Server{server(a.Addr().String()), server(b.Addr().String())})
		p.Ejection.Time = 20 * time.Millisecond
		p.Health = health
		g := group(t, p)
		address := a.Addr().String()
		_ = a.Close()
		for range 10 {
			var q Query
			for {
				m := pick(t, g, &q)
				network, to := m.Endpoint().Addr()
				c, err := net.Dial(network, to)
				m.Report(Classify(err))
				m.Done()
				if err == nil {
					_ = c.Close()
					break
				}
				if o := Classify(err); o != Refused {
					t.Fatalf("%v is classified as %v", err, o)
				}
				if m.rotating.Load() {
					t.Fatal("still in rotation after the report")
				}
			}
		}
		a = serve(address)
		eventually(t, "back", "2", func() string { return fmt.Sprint(g.Usable()) })
		_ = a.Close()
		_ = b.Close()
	}
}
