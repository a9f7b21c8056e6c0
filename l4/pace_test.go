package l4

import (
	"net"
	"sync"
	"testing"
	"time"

	"weir/conf"
)

// Sessions whose TLS Weir ends keep to the rates as well, are listed with the others,
// and end when they are told to, also while they are held back.
func TestSecuredSessionIsPacedAndListed(t *testing.T) {
	a := newAuthority(t)
	servers := make(chan *net.TCPConn, 1)
	w := newWorld(t, worldOptions{loops: 1}, poolOf("p", origin(t, func(c *net.TCPConn) {
		servers <- c
		flood(c)
	})))
	const rate = 1 << 20
	c := a.dialTLS(w.ended(a, func(c *conf.L4) { c.UploadRate, c.ListenerDownloadRate = rate, rate }), asked.Clone())
	up := make(chan struct{})
	go func() {
		defer close(up)
		b := make([]byte, 16<<10)
		for {
			if _, err := c.Write(b); err != nil {
				return
			}
		}
	}()
	server := <-servers
	var both sync.WaitGroup
	both.Go(func() {
		wantRate(t, "upload by TLS", rate, func(d time.Duration) int64 { return drained(server, d) })
	})
	wantRate(t, "download by TLS", rate, func(d time.Duration) int64 { return drained(c, d) })
	both.Wait()
	all := w.list(Filter{}, 10)
	if len(all) != 1 || all[0].BytesOut == 0 || all[0].SNI != "a.example.com" {
		t.Fatalf("listed %+v, want the session", all)
	}
	if n := w.end(Filter{ID: all[0].ID}); n != 1 {
		t.Errorf("ended %d sessions, want 1", n)
	}
	w.closed(reasonAdmin)
	<-up
}
