package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestRow49_MemoryIsShort: with most of its memory in use Weir closes idle HTTP
// connections and resets new sessions, then answers requests with 503; what is there
// goes on, nobody ends the process, and all is well when the memory is given back.
func TestRow49_MemoryIsShort(t *testing.T) {
	t.Parallel()
	own, group := "96MiB", int64(256<<20)
	if raced { // the detector takes several times as much
		own, group = "512MiB", 1<<30
	}
	t.Run("by the configuration", func(t *testing.T) {
		memoryIsShort(t, options{process: `memory_limit = "` + own + `"`})
	})
	t.Run("by the cgroup", func(t *testing.T) {
		var o options
		if dir := memoryCgroup(t, group); dir != "" {
			o.cgroup = dir
		} else {
			o.env = []string{"GOMEMLIMIT=" + own} // no cgroup can be made here
		}
		memoryIsShort(t, o)
	})
}

func memoryIsShort(t *testing.T, o options) {
	origin := startOrigin(t, "a")
	s := startScript(t, func(_ *scripted, p *peer) { io.Copy(p.TCPConn, p.r) })
	l7, l4 := freeAddr(t), freeAddr(t)
	w := startWeirWith(t, o, pool("app", origin.addr)+pool("echo", s.addr)+tcp(l4, "echo")+
		strings.Replace(web(l7, "app"), "[[l7.route]]", "header_timeout = \"5m\"\n[[l7.route]]", 1))
	session, idle := dial(t, l4), dial(t, l7)
	echo := func() {
		t.Helper()
		session.send("ping\n")
		if line, err := session.r.ReadString('\n'); line != "ping\n" {
			t.Fatalf("the session that was there said %q, %v", line, err)
		}
	}
	echo()
	idle.wantName(t, "a")

	m := &memoryEaters{t: t, w: w, addr: l7}
	defer m.end()
	m.eat(2)
	if _, err := idle.r.ReadByte(); err == nil {
		t.Error("an idle connection was not closed")
	}
	echo()
	wantRefused(t, "127.0.0.1", l4)
	waitFor(t, 3*patience, "503 with Retry-After", func() bool {
		p, err := tryDial("127.0.0.1", l7)
		if err != nil {
			m.giveBack(10)
			return false
		}
		defer p.Close()
		p.send("GET /name HTTP/1.1\r\nHost: a\r\n\r\n")
		resp, err := p.response(http.MethodGet)
		if err != nil {
			m.giveBack(10) // it was reset: there is too little even for an answer
			return false
		}
		if resp.StatusCode == http.StatusOK {
			m.eat(2) // it had recovered
			return false
		}
		return resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") != "" && resp.Close
	})
	if n := w.metric(t, `weir_l4_refused_total{listener="tcp",reason="memory"}`); n < 1 {
		t.Errorf("%v sessions were refused for want of memory", n)
	}
	if log := w.log.String(); !strings.Contains(log, "memory pressure changed") ||
		!strings.Contains(log, "limit=memory") || strings.Count(log, "connections refused") > 20 {
		t.Error("the log does not tell, or too much")
	}
	m.end()
	waitFor(t, 3*patience, "the pressure is over", func() bool { return w.metric(t, "weir_memory_pressure") == 0 })
	echo()
	newClient(t).wantBody("http://"+l7+"/name", "a")
	dialFrom(t, "127.0.0.1", l4).send("x")
	session.Close()
}

// memoryEaters are clients whose requests have a head without end, which Weir keeps.
type memoryEaters struct {
	t     *testing.T
	w     *weir
	addr  string
	conns []net.Conn
}

// eat adds clients until so much is done for want of memory: slowly in the end, as
// memory is measured every 100 ms.
func (m *memoryEaters) eat(step float64) {
	m.t.Helper()
	head := "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X: "+strings.Repeat("x", 995)+"\r\n", 30)
	deadline := time.Now().Add(3 * patience)
	for m.w.metric(m.t, "weir_memory_pressure") < step {
		if time.Now().After(deadline) {
			m.t.Fatalf("%v bytes of memory are used with %d clients, of %v",
				m.w.metric(m.t, "weir_memory_used_bytes"), len(m.conns), m.w.metric(m.t, "weir_memory_limit_bytes"))
		}
		share := m.w.metric(m.t, "weir_memory_used_bytes") / m.w.metric(m.t, "weir_memory_limit_bytes")
		n := 400
		if share > 0.85 {
			n = max(2, int(300*(0.98-share)))
		}
		for range n {
			c, err := net.DialTimeout("tcp", m.addr, patience)
			if err != nil {
				continue // reset at once
			}
			m.conns = append(m.conns, c)
			io.WriteString(c, head) // an error shows in the memory that is not used
		}
		time.Sleep(120 * time.Millisecond)
	}
}

// giveBack ends some of the clients, and leaves time for that to be seen.
func (m *memoryEaters) giveBack(n int) {
	n = min(n, len(m.conns))
	for _, c := range m.conns[:n] {
		c.Close()
	}
	m.conns = m.conns[n:]
	time.Sleep(250 * time.Millisecond)
}

func (m *memoryEaters) end() { m.giveBack(len(m.conns)) }

// memoryCgroup makes a cgroup below that of the test with a limit of memory in bytes, and
// returns its folder, or "" where that is not allowed.
func memoryCgroup(t *testing.T, limit int64) string {
	t.Helper()
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(own)) {
		_, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, group, _ := strings.Cut(rest, ":")
		dir, key := filepath.Join("/sys/fs/cgroup", group), "memory.max"
		if controllers == "memory" {
			dir, key = filepath.Join("/sys/fs/cgroup/memory", group), "memory.limit_in_bytes"
		} else if controllers != "" {
			continue
		}
		dir = filepath.Join(dir, fmt.Sprintf("weir-test-%d", os.Getpid()))
		if os.Mkdir(dir, 0o755) != nil {
			continue
		}
		t.Cleanup(func() { os.Remove(dir) }) // empty by then
		if os.WriteFile(filepath.Join(dir, key), []byte(strconv.FormatInt(limit, 10)), 0) == nil {
			return dir
		}
	}
	return ""
}
