package l7

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/l4"
	"weir/pool/metric"
)

// TestTunnelsAreSeen: whoever looks at sessions sees tunnels among them, those that a
// loop relays and those that goroutines do, and can end them.
func TestTunnelsAreSeen(t *testing.T) {
	certFile, keyFile, roots := newCert(t, "www.example.com")
	secure := fmt.Sprintf("[l7.tls]\ncerts = [{ cert = %q, key = %q }]\n", certFile, keyFile)
	overTLS := strings.Replace(connecting, "[[l7.connect]]", secure+"[[l7.connect]]", 1)
	f := func(config, sni string) {
		t.Helper()
		r := newLoopRig(t, config, newShout(t))
		plain := r.dial()
		var c net.Conn = plain
		if sni != "" {
			c = tls.Client(plain.TCPConn, &tls.Config{RootCAs: roots, ServerName: sni})
		}
		const to = "db.example.com:5432"
		fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", to, to)
		br := bufio.NewReader(c)
		if res, err := http.ReadResponse(br, &http.Request{Method: "CONNECT"}); err != nil || res.StatusCode != 200 {
			t.Fatalf("got %v %v", res, err)
		}
		io.WriteString(c, "abc")
		if got, err := io.ReadAll(io.LimitReader(br, 9)); err != nil || string(got) != "hello\nABC" {
			t.Fatalf("got %q, %v", got, err)
		}
		var seen l4.Session
		eventually(t, "the octets", func() bool { // they are counted after they have gone
			seen = r.wantListed(t, l4.Filter{}, 1)[0]
			return seen.BytesIn == 3 && seen.BytesOut == 9
		})
		if seen.Kind != "connect" || seen.Listener != "web" || seen.Pool != "app" || seen.SNI != sni || seen.Network != "tcp" ||
			!strings.HasPrefix(seen.Backend, "127.0.0.1:") || seen.Client.String() != plain.LocalAddr().String() ||
			seen.State != "relaying" || time.Since(seen.Start) > time.Minute ||
			!strings.HasPrefix(seen.Route, "CONNECT db.example.com") {
			t.Errorf("got %+v", seen)
		}
		for _, other := range []l4.Filter{{Pool: "none"}, {MinAge: time.Hour}, {ID: seen.ID + 1}} {
			if n, err := r.front.End(t.Context(), other); err != nil || n != 0 {
				t.Errorf("%+v ended %d, %v", other, n, err)
			}
		}
		if n, err := r.front.End(t.Context(), l4.Filter{ID: seen.ID}); err != nil || n != 1 {
			t.Errorf("ended %d, %v", n, err)
		}
		plain.SetReadDeadline(time.Now().Add(20 * time.Second))
		if n, err := io.Copy(io.Discard, br); n > 0 || err != nil && strings.Contains(err.Error(), "timeout") {
			t.Errorf("%d octets and %v at the end", n, err)
		}
		r.untilNoTunnel(t)
		if n := r.metrics.Counter(metric.L7Errors, "web", "internal", "admin").Load(); n != 1 {
			t.Errorf("counted %d times", n)
		}
		r.wantListed(t, l4.Filter{}, 0)
	}
	f(connecting, "")
	f(overTLS, "www.example.com")
}

// wantListed returns the sessions that a filter chooses, as soon as they are so many.
func (r *rig) wantListed(t *testing.T, f l4.Filter, want int) (got []l4.Session) {
	t.Helper()
	eventually(t, fmt.Sprintf("a list of %d", want), func() bool {
		p, err := r.front.List(t.Context(), f, 0, l4.MaxListed)
		if err != nil {
			t.Fatal(err)
		}
		got = p.Sessions
		return len(got) == want
	})
	return got
}

// TestTunnelsPageByPage: tunnels of both kinds come and go while somebody turns pages;
// those that stay are on one page each.
func TestTunnelsPageByPage(t *testing.T) {
	r := newLoopRig(t, plain, newEcho(t))
	var open []*client
	for range 12 {
		c := r.dial()
		upgrade(t, c)
		open = append(open, c)
	}
	all := r.wantListed(t, l4.Filter{Listener: "web"}, 12)
	var paged []uint64
	for after := uint64(0); ; {
		p, err := r.front.List(t.Context(), l4.Filter{}, after, 5)
		if err != nil {
			t.Fatal(err)
		}
		for i := range p.Sessions {
			if p.Sessions[i].Kind != "websocket" {
				t.Errorf("got %+v", p.Sessions[i])
			}
			paged = append(paged, p.Sessions[i].ID)
		}
		if after = p.Next; after == 0 {
			break
		}
	}
	want := make([]uint64, 0, len(all))
	for i := range all {
		want = append(want, all[i].ID)
	}
	if !slices.Equal(paged, want) {
		t.Errorf("the pages have %v, want %v", paged, want)
	}
	if n, err := r.front.End(t.Context(), l4.Filter{Pool: "app"}); err != nil || n != 12 {
		t.Errorf("ended %d, %v", n, err)
	}
	for _, c := range open {
		c.wantClosed()
	}
	r.untilNoTunnel(t)
}

// TestTunnelsComeAndGoWhileSeen: whoever looks at tunnels, or ends some, does so while
// others begin and end.
func TestTunnelsComeAndGoWhileSeen(t *testing.T) {
	t.Parallel()
	certFile, keyFile, roots := newCert(t, "www.example.com")
	secure := fmt.Sprintf("[l7.tls]\ncerts = [{ cert = %q, key = %q }]\n", certFile, keyFile)
	for _, config := range []string{connecting, strings.Replace(connecting, "[[l7.connect]]", secure+"[[l7.connect]]", 1)} {
		r := newLoopRig(t, config, newShout(t))
		var wg sync.WaitGroup
		var going atomic.Int32
		for range 6 {
			going.Add(1)
			wg.Go(func() {
				defer going.Add(-1)
				for range 12 {
					r.comeAndGo(t, config != connecting, roots)
				}
			})
		}
		for n := 0; going.Load() > 0; n++ {
			p, err := r.front.List(t.Context(), l4.Filter{}, 0, 3)
			if err != nil {
				t.Fatal(err)
			}
			for i := range p.Sessions {
				if n%4 == 0 { // it may have ended by itself
					r.front.End(t.Context(), l4.Filter{ID: p.Sessions[i].ID})
				}
			}
			time.Sleep(time.Millisecond)
		}
		wg.Wait()
		r.untilNoTunnel(t)
		r.wantListed(t, l4.Filter{}, 0)
	}
}

// comeAndGo is a tunnel for a moment, if it is not ended before.
func (r *rig) comeAndGo(t *testing.T, secured bool, roots *x509.CertPool) {
	nc, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Error(err)
		return
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(clientPatience))
	if secured {
		nc = tls.Client(nc, &tls.Config{RootCAs: roots, ServerName: "www.example.com"})
	}
	const to = "db.example.com:5432"
	fmt.Fprintf(nc, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\nabc", to, to)
	_, err = io.CopyN(io.Discard, nc, 80)
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		t.Error("the tunnel neither moves nor ends")
	}
}
