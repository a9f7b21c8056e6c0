package l4

import (
	"bytes"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"weir/conf"
	"weir/pool/accesslog"
	"weir/pool/metric"
)

// logged serves an access log and returns it with a function that waits for the record
// of the nth session that ended.
func logged(t *testing.T) (*accesslog.Log, func(n int) map[string]any) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "access.log")
	log, err := accesslog.Open(conf.AccessLog{Path: path, Format: "json", Buffer: 1 << 20, ClientIP: "full"},
		metric.New(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	return log, func(n int) map[string]any {
		t.Helper()
		for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
			text, err := os.ReadFile(path)
			lines := bytes.Split(text, []byte("\n"))
			if err == nil && len(lines) > n+1 {
				record := make(map[string]any)
				if err := json.Unmarshal(lines[n], &record); err != nil {
					t.Fatal(err)
				}
				return record
			}
			if time.Now().After(deadline) {
				t.Fatalf("no record %d in\n%s", n, text)
			}
		}
	}
}

// TestStagesOfEndedTLS: the time in the queue is a stage of its own also where Weir
// ends TLS, and all stages together are the session.
func TestStagesOfEndedTLS(t *testing.T) {
	log, record := logged(t)
	a := newAuthority(t)
	w := newWorld(t, worldOptions{access: log}, crowded(1, 10, patience, origin(t, echo)))
	addr := w.ended(a, nil)
	first := a.dialTLS(addr, asked.Clone())
	send(t, first, "one")
	want(t, first, "one")
	second := a.dialTLS(addr, asked.Clone())
	w.queued(1)
	time.Sleep(200 * time.Millisecond) // what the queue takes at least
	first.CloseWrite()
	wantEnd(t, first, "")
	send(t, second, "two")
	want(t, second, "two")
	second.CloseWrite()
	wantEnd(t, second, "")
	r := record(1)
	sum := 0.0
	for _, stage := range []string{"sniff", "tls", "queue", "connect", "first_byte", "deliver"} {
		took, _ := r[stage+"_seconds"].(float64) // a stage of less than a microsecond is left out
		if took < 0 {
			t.Errorf("%s took %v seconds", stage, took)
		}
		sum += took
	}
	if queue := r["queue_seconds"].(float64); queue < 0.2 {
		t.Errorf("%v seconds in the queue", queue)
	}
	if all := r["duration_seconds"].(float64); sum > all+0.001 || sum < all-0.001 {
		t.Errorf("the stages took %v seconds together, the session %v: %v", sum, all, r)
	}
}

// A client that breaks its connection while a database says nothing is not waited for,
// and the server is not to blame.
func TestClientBreaksPrologue(t *testing.T) {
	silent := origin(t, func(c *net.TCPConn) { c.Read(make([]byte, 64)); c.Read(make([]byte, 1)) })
	p := poolOf("p", silent)
	p.ConnectTimeout = 4 * patience
	w := newWorld(t, worldOptions{}, p)
	addr := w.simple(conf.L4{Protocol: "postgres", Routes: []conf.L4Route{{SNI: []string{"a.test"}, Pool: "p"}}})
	c := dial(t, addr)
	send(t, c, pgSSLRequest)
	want(t, c, pgAccept)
	c.Write(hello(t, "a.test"))
	w.until("the server is asked", func() bool { return w.reg.Group("p").Members()[0].InFlight() == 1 })
	c.SetLinger(0)
	c.Close()
	w.closed(reasonClientReset)
}
