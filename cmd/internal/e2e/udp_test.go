package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// dnsServer answers questions about weir.test with 192.0.2.7, over UDP.
func dnsServer(t testing.TB) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		b := make([]byte, 1<<12)
		for {
			n, from, err := c.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			if answer := dnsAnswer(b[:n]); answer != nil {
				c.WriteToUDPAddrPort(answer, from)
			}
		}
	})
	t.Cleanup(func() {
		c.Close()
		wg.Wait()
	})
	return c
}

func dnsAnswer(question []byte) []byte {
	var m dnsmessage.Message
	if m.Unpack(question) != nil || len(m.Questions) != 1 {
		return nil
	}
	m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
	if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
		m.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 1},
			Body:   &dnsmessage.AResource{A: [4]byte{192, 0, 2, 7}},
		}}
	}
	b, err := m.Pack()
	if err != nil {
		return nil
	}
	return b
}

// lookup asks the name server at addr as any Go program does, without a second try.
func lookup(addr string) error {
	r := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", addr)
	}}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	ips, err := r.LookupNetIP(ctx, "ip4", "weir.test.")
	if err == nil && (len(ips) != 1 || ips[0] != netip.MustParseAddr("192.0.2.7")) {
		err = fmt.Errorf("got %v", ips)
	}
	return err
}

func udp(name, listen, pool string, lines ...string) string {
	return fmt.Sprintf("\n[[l4]]\nname = %q\nlisten = [%q]\npool = %q\n%s\n", name, "udp://"+listen, pool,
		strings.Join(lines, "\n"))
}

func lookups(t testing.TB, addr string, n int) {
	t.Helper()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range n / 4 {
				if err := lookup(addr); err != nil {
					t.Errorf("lookup: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// TestDNSThroughUDP: every lookup is answered, while a server dies and while the
// configuration is read again; a drain waits for nobody who has his answer.
func TestDNSThroughUDP(t *testing.T) {
	addr := freeAddr(t)
	one, two := dnsServer(t), dnsServer(t)
	conf := func(idle string) string {
		return pool("dns", one.LocalAddr().String(), two.LocalAddr().String()) +
			udp("dns", addr, "dns", "udp_responses = 1", fmt.Sprintf("udp_idle_timeout = %q", idle))
	}
	o := options{unclean: true, access: filepath.Join(t.TempDir(), "access.log")}
	w := startWeirWith(t, o, conf("30s"))
	lookups(t, addr, 100)
	one.Close()
	lookups(t, addr, 100)
	w.write(t, w.head(&o)+conf("20s"))
	if code, answer := w.reload(t); code != 200 {
		t.Fatalf("reload: %d %s", code, answer)
	}
	lookups(t, addr, 100)
	waitFor(t, patience, "a datagram was sent for each of 300 lookups", func() bool {
		return w.metric(t, `weir_l4_sent_datagrams_total{listener="dns"}`) >= 300
	})
	waitFor(t, patience, "no session is left of lookups that have their answer", func() bool {
		return w.metric(t, `weir_l4_active_sessions{listener="dns"}`) == 0
	})
	if code, took := w.stop(t, syscall.SIGTERM); code != 0 || took > 20*time.Second {
		t.Errorf("exit code %d after %v", code, took)
	}
}

// TestRow61_UDPServerIsGone: the datagram that finds out goes to the next server.
func TestRow61_UDPServerIsGone(t *testing.T) {
	addr := freeAddr(t)
	gone := dnsServer(t)
	gone.Close()
	w := startWeir(t, pool("dns", gone.LocalAddr().String(), dnsServer(t).LocalAddr().String())+
		udp("dns", addr, "dns", "udp_responses = 1"))
	lookups(t, addr, 40)
	if n := w.metric(t, `weir_l4_connect_failures_total{pool="dns",reason="unreachable"}`); n == 0 {
		t.Error("nobody found out that a server is gone")
	}
}

// TestRow62_UDPFlood: made-up sources take their share of sessions and no more; those
// who had a session keep it, and TCP is served.
func TestRow62_UDPFlood(t *testing.T) {
	addr, tcpAddr := freeAddr(t), freeAddr(t)
	server := dnsServer(t).LocalAddr().String()
	web := startOrigin(t, "web")
	o := options{process: "max_conns = 50", access: filepath.Join(t.TempDir(), "access.log")}
	kept := pool("dns", server) + pool("web", web.addr) + tcp(tcpAddr, "web")
	w := startWeirWith(t, o, kept+udp("dns", addr, "dns", `udp_idle_timeout = "1h"`))
	const sessions = 25 // half of max_conns
	refused := func() float64 {
		return w.metric(t, `weir_l4_dropped_datagrams_total{listener="dns",reason="refused"}`)
	}
	for i := range 300 {
		c, err := net.Dial("udp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })                     // not before: the next one could have the port of a session
		c.Write([]byte("who am I"))                         // the server does not answer that
		if sent := i + 1; sent > sessions && sent%50 == 0 { // or a busy machine lets the kernel drop some
			waitFor(t, patience, "the flood is refused", func() bool { return refused() == float64(sent-sessions) })
		}
	}
	if n := w.metric(t, `weir_l4_active_sessions{listener="dns"}`); n != sessions {
		t.Errorf("%v sessions, want %d", n, sessions)
	}
	newClient(t).wantBody("http://"+tcpAddr+"/name", "web")
	w.write(t, w.head(&o)+kept) // sessions end with their address
	if code, answer := w.reload(t); code != 200 {
		t.Errorf("reload: %d %s", code, answer)
	}
}

// TestUDPAccessLog: one line for each client, with its datagrams.
func TestUDPAccessLog(t *testing.T) {
	addr, file := freeAddr(t), filepath.Join(t.TempDir(), "access.log")
	w := startWeirWith(t, options{access: file, unclean: true},
		pool("dns", dnsServer(t).LocalAddr().String())+udp("dns", addr, "dns", "udp_responses = 1"))
	if err := lookup(addr); err != nil {
		t.Fatal(err)
	}
	w.stop(t, syscall.SIGTERM)
	line, _, _ := strings.Cut(readFile(t, file), "\n")
	var r struct {
		Kind, Listener, Reason string
		In                     int `json:"datagrams_in"`
		Out                    int `json:"datagrams_out"`
	}
	if err := json.Unmarshal([]byte(line), &r); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	if r.Kind != "l4" || r.Listener != "dns" || r.Reason != "done" || r.In != 1 || r.Out != 1 {
		t.Errorf("got %s", line)
	}
}
