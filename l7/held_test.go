package l7

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"weir/l7/message"
)

// TestHoldFollowsWhatCame: a client that announces much and sends little occupies little.
func TestHoldFollowsWhatCame(t *testing.T) {
	f := func(framing message.Framing, announced int64, n, more, bound, wantMost int) {
		t.Helper()
		x := &exchange{}
		x.req.Framing, x.req.ContentLength = framing, announced
		if n > 0 {
			x.makeRoom(0, n, bound)
			clear(x.held.B)
		}
		x.makeRoom(n, more, bound)
		defer x.dropHeld()
		if got := len(x.held.B); got < n+more || got > wantMost {
			t.Errorf("%d octets behind %d of %d take %d, want at most %d", more, n, announced, got, wantMost)
		}
	}
	f(message.Length, 16<<20, 0, 1, 16<<20, 16<<10)
	f(message.Length, 16<<20, 16<<10, 1, 16<<20, 64<<10)
	f(message.Length, 20<<10, 16<<10, 4<<10, 16<<20, 64<<10)
	f(message.Length, 5, 0, 5, 16<<20, 16<<10)
	f(message.Chunked, -1, 0, 1, 16<<20, 16<<10)
	f(message.Chunked, -1, 3<<20, 1, 4<<20, 4<<20)
	f(message.Chunked, -1, 4<<20, 16<<10, 4<<20, 5<<20)
}

// TestMirrorKeepsNoMore: what is kept of requests that are under way is bounded as that of
// the copies is, and all of it is given back.
func TestMirrorKeepsNoMore(t *testing.T) {
	shadow := newShadow(t)
	o := newHTTPOrigin(t, func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })
	r := newRig(t, mirrored, o.addr, shadow.addr) // two copies of 100 kB
	m := r.server.snapshot.Load().listeners["web"].routes[0].act.mirror
	const most = 2 * 100_000
	part := strings.Repeat("x", 60_000)
	var clients []*client
	for range 8 {
		c := r.dial()
		c.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 80000\r\n\r\n%s", part)
		clients = append(clients, c)
	}
	eventually(t, "two bodies that are kept", func() bool { return m.kept.Load() >= 2*60_000 })
	for range 20 {
		if n := m.kept.Load(); n > most {
			t.Fatalf("%d octets are kept, want at most %d", n, most)
		}
		time.Sleep(10 * time.Millisecond)
	}
	for _, c := range clients {
		c.send("%s", part[:20_000])
		if res, _, err := c.response("POST"); err != nil || res.StatusCode != 200 {
			t.Errorf("got %v %v", res, err)
		}
	}
	eventually(t, "all copies sent or left out", func() bool {
		return r.mirrorCount("sent")+r.mirrorCount("left_out") == 8 && m.kept.Load() == 0
	})
	if r.mirrorCount("sent") == 0 || r.mirrorCount("left_out") < 4 {
		t.Errorf("%d were sent, %d left out", r.mirrorCount("sent"), r.mirrorCount("left_out"))
	}
	for _, c := range clients[:2] { // a client that leaves
		c.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 80000\r\n\r\n%s", part)
	}
	eventually(t, "a body that is kept", func() bool { return m.kept.Load() > 0 })
	for _, c := range clients {
		c.Close()
	}
	eventually(t, "that it is given back", func() bool { return m.kept.Load() == 0 })
}

// TestEarlyAnswerToHeldBody: what is left to be sent of a body that is held is no reason
// to end the connection of its client, nor to wait.
func TestEarlyAnswerToHeldBody(t *testing.T) {
	quit := make(chan struct{})
	o := newOrigin(t, func(c *net.TCPConn, br *bufio.Reader) {
		c.SetReadBuffer(4 << 10)
		readHead(br)
		io.WriteString(c, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
		<-quit
	})
	t.Cleanup(func() { close(quit) })
	r := newRig(t, plain+"request_buffer = \"16MiB\"\n", o.addr)
	c := r.dial()
	for range 2 {
		c.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 12000000\r\n\r\n%s", strings.Repeat("x", 12_000_000))
		res, body, err := c.response("POST")
		if err != nil || res.StatusCode != 403 || body != "no" || res.Close {
			t.Fatalf("got %v %q %v, want 403 and a connection that stays", res, body, err)
		}
	}
}
