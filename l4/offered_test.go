package l4

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weir/conf"
	"weir/l4/sniff"
	"weir/pool/accesslog"
	"weir/pool/metric"
)

func TestOffers(t *testing.T) {
	var o offers
	f := func(want string, offered ...string) {
		t.Helper()
		var h sniff.Hello
		b := helloWith(t, &tls.Config{ServerName: "a.test", NextProtos: offered})
		if v := sniff.ClientHello(b, 64<<10, &h); v != sniff.Done {
			t.Fatalf("the hello is judged %v", v)
		}
		if got := o.of(&h); got != want {
			t.Errorf("%q offered is %q, want %q", offered, got, want)
		}
		if n := testing.AllocsPerRun(100, func() { o.of(&h) }); n != 0 && len(o.known) < maxOffers {
			t.Errorf("%v allocations to name %q", n, want)
		}
	}
	f("")
	f("h2", "h2")
	f("h2,http/1.1", "h2", "http/1.1")
	long := strings.Repeat("x", 126)
	f(long+","+long, long, long)
	for i := range 2 * maxOffers {
		name := fmt.Sprintf("p%d", i)
		f(name, name)
	}
	if len(o.known) > maxOffers {
		t.Errorf("%d lists are remembered, want at most %d", len(o.known), maxOffers)
	}
}

// What a client offers is in the log though its TLS passes through.
func TestOfferedIsLogged(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	access, err := accesslog.Open(conf.AccessLog{Path: file, Format: "json", Buffer: 1 << 20, ClientIP: "full"},
		metric.New(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	q, roots := quicOrigin(t, "a.example.com")
	w := newWorld(t, worldOptions{access: access}, poolOf("p", origin(t, greeter("p"))), poolOf("q", q))
	routes := func(pool string) []conf.L4Route {
		return []conf.L4Route{{SNI: []string{"*.example.com"}, Pool: pool}}
	}
	w.serve(w.l4(conf.L4{Name: "tcp", Routes: routes("p")}), w.udpListener(conf.L4{Name: "udp", Routes: routes("q")}))
	c := dial(t, w.srv.Addrs("tcp")[0])
	c.Write(helloWith(t, &tls.Config{ServerName: "a.example.com", NextProtos: []string{"h2", "http/1.1"}}))
	c.CloseWrite()
	w.closed(reasonDone)
	if _, err := quicAsk(t, strings.TrimPrefix(w.srv.Addrs("udp")[0], "udp://"), "a.example.com", roots, "x"); err != nil {
		t.Fatal(err)
	}
	w.srv.Close() // the records are written by then
	if err := access.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got := map[any]any{}
	for line := range strings.Lines(string(text)) {
		var r map[string]any
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		got[r["listener"]] = r["alpn_offered"]
	}
	if got["tcp"] != "h2,http/1.1" || got["udp"] != "echo" {
		t.Errorf("logged as offered is %v", got)
	}
}
