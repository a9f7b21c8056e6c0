package e2e

import (
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Rows of docs/faults.md on L4, where Weir does not know what it carries: a session that
// has begun cannot be repeated, so it must not look whole when it is not.

// TestRow06_StoppedBackendL4: a stopped process accepts connections and says nothing. Its
// check takes it out: sessions on it end as configured, new ones go to the other, and
// it is used again when it goes on.
func TestRow06_StoppedBackendL4(t *testing.T) {
	a, b, addr := startChild(t, "a", ""), startChild(t, "b", ""), freeAddr(t)
	w := startWeir(t, pool("app", a.addr, b.addr)+`
[pool.app.health]
type = "http"
path = "/healthz"
interval = "200ms"
timeout = "500ms"
fall = 2
rise = 1
[pool.app.sessions]
on_down = "close"
`+tcp(addr, "app"))
	var onA, onB []*peer
	for len(onA) < 5 || len(onB) < 5 {
		p := dial(t, addr)
		switch name := ask(p); name {
		case "a":
			onA = append(onA, p)
		case "b":
			onB = append(onB, p)
		default:
			t.Fatalf("a session got %q", name)
		}
	}
	a.signal(t, syscall.SIGSTOP)
	for _, p := range onA {
		if _, err := p.r.ReadByte(); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("a session on the stopped backend ended with %v, want a reset", err)
		}
	}
	for _, p := range onB {
		if got := ask(p); got != "b" {
			t.Errorf("a session on the other backend got %q", got)
		}
	}
	for range 10 {
		withinTime(t, patience/2, "a new session", func() {
			if got := ask(dial(t, addr)); got != "b" {
				t.Errorf("a new session got %q", got)
			}
		})
	}
	a.signal(t, syscall.SIGCONT)
	waitFor(t, patience, "the backend is used again", func() bool { return ask(dial(t, addr)) == "a" })
	waitFor(t, patience, "as many sessions ended as backend_down", func() bool {
		return int(w.metric(t, `weir_l4_closed_total{listener="tcp",reason="backend_down"}`)) == len(onA)
	})
}

// TestRow07_RefusedL4: beside a server that refuses, every session is served; where all
// refuse, a session is reset at once.
func TestRow07_RefusedL4(t *testing.T) {
	good, addr, down := startOrigin(t, "good"), freeAddr(t), freeAddr(t)
	w := startWeir(t, pool("app", freeAddr(t), good.addr)+pool("none", freeAddr(t), freeAddr(t))+tcp(addr, "app")+
		strings.ReplaceAll(tcp(down, "none"), `"tcp"`, `"down"`))
	for range 20 {
		withinTime(t, patience/2, "a session beside a refused server", func() {
			if got := ask(dial(t, addr)); got != "good" {
				t.Errorf("a session got %q", got)
			}
		})
	}
	for range 5 {
		withinTime(t, patience/2, "a reset", func() { wantReset(t, down) })
	}
	waitFor(t, patience, "five sessions that ended for want of a server", func() bool {
		return w.metric(t, `weir_l4_closed_total{listener="down",reason="connect_failed"}`)+
			w.metric(t, `weir_l4_closed_total{listener="down",reason="no_server"}`) == 5
	})
}

// wantReset wants a session to end with an RST before it has brought a byte.
func wantReset(t testing.TB, addr string) {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, patience)
	if err == nil {
		defer c.Close()
		c.SetDeadline(time.Now().Add(patience))
		_, err = c.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v, want a reset", err)
	}
}

// TestRow09_ResetMidStreamL4: what came before a reset arrives or not, but the end of it
// never looks like the end of the stream, whichever side it comes from.
func TestRow09_ResetMidStreamL4(t *testing.T) {
	const part = 1 << 20
	ends := make(chan error, 10)
	s := startScript(t, func(_ *scripted, p *peer) {
		word, err := p.r.ReadString('\n')
		if word == "reset\n" {
			io.Copy(p.TCPConn, patternReader(part))
			p.reset()
			return
		}
		if err == nil { // else the reset was there first, and is told once
			_, err = io.Copy(io.Discard, p.r)
		}
		ends <- err
	})
	addr := freeAddr(t)
	w := startWeir(t, pool("app", s.addr)+tcp(addr, "app"))
	for range 5 {
		p := dial(t, addr)
		p.send("reset\n")
		n, _, err := checkPattern(p)
		if !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the backend reset after %d bytes of %d: %v, want a reset", n, part, err)
		}
	}
	for range 5 {
		p := dial(t, addr)
		p.send("take\n")
		io.Copy(p.TCPConn, patternReader(part))
		p.reset()
		select {
		case err := <-ends:
			if !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the client reset, and its backend saw %v", err)
			}
		case <-time.After(patience):
			t.Fatal("the backend does not know that the client reset")
		}
	}
	for reason, want := range map[string]float64{"backend_reset": 5, "client_reset": 5} {
		name := `weir_l4_closed_total{listener="tcp",reason="` + reason + `"}`
		waitFor(t, patience, name, func() bool { return w.metric(t, name) == want })
	}
}
