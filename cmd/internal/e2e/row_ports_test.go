package e2e

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestRow26_NoPorts: with eight local ports, all of them used by sessions to a server,
// a ninth session is reset and a request gets 503 with Retry-After; the server is not
// blamed, nothing spins, the log is not filled, and all is well when a session ends.
func TestRow26_NoPorts(t *testing.T) {
	if !inNetns(t) {
		return
	}
	const few = 8
	s := startScript(t, func(s *scripted, p *peer) {
		line, err := p.r.Peek(4)
		if err == nil && string(line) == "GET " {
			ok("served")(s, p)
			return
		}
		io.Copy(p.TCPConn, p.r)
	})
	l4, l7 := freeAddr(t), freeAddr(t)
	w := startWeir(t, pool("app", s.addr)+checkedEvery("app", "500ms")+tcp(l4, "app")+web(l7, "app"))
	defer sysctl(t, "ipv4/ip_local_port_range", "32768\t60999") // before Weir is asked how it left things
	sysctl(t, "ipv4/ip_local_port_range", "40000\t40007")
	var sessions []*peer
	waitFor(t, patience, "sessions have all ports", func() bool { // of which checks take some, for a moment
		p, err := tryDial("127.0.0.2", l4)
		if err != nil {
			return false
		}
		p.send("ping\n")
		if line, _ := p.r.ReadString('\n'); line == "ping\n" {
			sessions = append(sessions, p)
		} else {
			p.Close()
		}
		return len(sessions) == few
	})
	waitFor(t, patience, "the log tells that no port is left", func() bool {
		wantRefused(t, "127.0.0.3", l4)
		return strings.Contains(w.log.String(), "no local port is left")
	})
	began, cpu := time.Now(), w.cpu(t)
	refused := 0
	for time.Since(began) < time.Second {
		wantRefused(t, "127.0.0.3", l4)
		refused++
		time.Sleep(20 * time.Millisecond)
	}
	if used := w.cpu(t) - cpu; used > time.Second/2 {
		t.Errorf("used %v in %v without ports", used, time.Since(began))
	}
	defer func() {
		for _, p := range sessions {
			p.Close()
		}
	}()
	p := dialFrom(t, "127.0.0.4", l7)
	p.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	resp, err := p.response(http.MethodGet)
	if err != nil || resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Errorf("a request without a port: %v, %v, want 503 with Retry-After", resp, err)
	}
	for _, p := range sessions {
		p.send("pong\n")
		if line, err := p.r.ReadString('\n'); line != "pong\n" {
			t.Fatalf("a session that was there said %q, %v", line, err)
		}
	}
	if log := w.log.String(); strings.Count(log, "no local port is left") > 2 ||
		strings.Contains(log, "backend down") || strings.Contains(log, "ejected") {
		t.Errorf("the log blames the server, or is flooded, after %d sessions", refused)
	}
	for _, p := range sessions {
		p.Close()
	}
	sysctl(t, "ipv4/ip_local_port_range", "32768\t60999")
	if n := w.metric(t, `weir_l4_closed_total{listener="tcp",reason="no_ports"}`); int(n) < refused {
		t.Errorf("%v sessions ended for want of a port, want %d or more", n, refused)
	}
	if n := w.metric(t, "weir_backend_no_ports_total"); int(n) < refused {
		t.Errorf("%v connects had no port, want %d or more", n, refused)
	}
	newClient(t).wantBody("http://"+l7+"/", "served")
}

// checkedEvery is the active check of a pool of tests.
func checkedEvery(pool, interval string) string {
	return "[pool." + pool + ".health]\ntype = \"tcp\"\ninterval = \"" + interval + "\"\nfall = 1\nrise = 1\n"
}
