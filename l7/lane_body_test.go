package l7

import (
	"bytes"
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"weir/pool/metric"
)

// sums answers with the checksum of the body.
func sums(t *testing.T, asked *atomic.Int32) *origin {
	return newHTTPOrigin(t, func(w http.ResponseWriter, req *http.Request) {
		if asked != nil {
			asked.Add(1)
		}
		h := crc32.NewIEEE()
		n, err := io.Copy(h, req.Body)
		fmt.Fprintf(w, "%d %08x %v", n, h.Sum32(), err)
	})
}

// post sends a body in pieces that end at the given places, and wants it to arrive.
func (c *client) post(body []byte, cuts ...int) {
	c.t.Helper()
	c.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", len(body))
	at := 0
	for _, cut := range append(cuts, len(body)) {
		c.send("%s", body[at:cut])
		at = cut
	}
	want := fmt.Sprintf("%d %08x <nil>", len(body), crc32.ChecksumIEEE(body))
	if res, got, err := c.response("POST"); err != nil || res.StatusCode != 200 || got != want {
		c.t.Fatalf("%d octets, cut at %d: got %d %q %v, want %q", len(body), cuts, res.StatusCode, got, err, want)
	}
}

func someBody(size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	return b
}

// TestLaneTakesBodies: a body that comes in one go, or in pieces without pauses, needs no
// goroutine, whatever its length up to maxInline.
func TestLaneTakesBodies(t *testing.T) {
	t.Parallel()
	r := newRigWith(t, true, plain, sums(t, nil).addr)
	for _, size := range []int{1, 900, 1 << 10, 1<<10 + 1, 16 << 10, maxInline - 1, maxInline} {
		body := someBody(size)
		for _, cuts := range [][]int{nil, {0}, {size / 2}, {0, size / 3, size - 1}} {
			// The tick of the lane may come in between, and has the goroutine begin.
			eventually(t, fmt.Sprintf("the lane to take %d octets, cut at %d", size, cuts), func() bool {
				c := r.dial()
				served, left := r.lanes()
				c.post(body, cuts...)
				c.post(body, cuts...)
				nowServed, nowLeft := r.lanes()
				return nowLeft == left && nowServed > served
			})
		}
	}
}

// TestLaneLeavesLongBodies: longer ones take turns with their responses.
func TestLaneLeavesLongBodies(t *testing.T) {
	t.Parallel()
	r := newRigWith(t, true, plain, sums(t, nil).addr)
	r.dial().post(someBody(maxInline + 1))
	if _, left := r.lanes(); left != 1 {
		t.Errorf("%d requests left the lane, want 1", left)
	}
}

// TestLaneBodyThenRequest: what follows a body is the next request, however it is cut.
func TestLaneBodyThenRequest(t *testing.T) {
	t.Parallel()
	r := newRigWith(t, true, plain, sums(t, nil).addr)
	body := someBody(3000)
	all := fmt.Appendf(nil, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	head := len(all) - len(body)
	all = append(all, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"...)
	sum := fmt.Sprintf("3000 %08x <nil>", crc32.ChecksumIEEE(body))
	for _, cut := range []int{0, head, head + 1, head + 1500, head + 2999, head + 3000, head + 3001, len(all) - 1} {
		c := r.dial()
		c.send("%s", all[:cut])
		c.send("%s", all[cut:])
		for _, want := range []string{sum, "0 00000000 <nil>"} {
			if res, got, err := c.response("GET"); err != nil || res.StatusCode != 200 || got != want {
				t.Errorf("cut at %d: got %d %q %v, want %q", cut, res.StatusCode, got, err, want)
			}
		}
	}
}

// TestLaneLeavesSlowSender: a client that takes its time has the limits of any other, and
// nothing of what it sent before is lost.
func TestLaneLeavesSlowSender(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	config := strings.Replace(plain, "listen = [\"127.0.0.1:0\"]\n", "listen = [\"127.0.0.1:0\"]\nbody_grace = \"1s\"\n", 1)
	r := newRigWith(t, true, config, sums(t, &asked).addr)
	body := someBody(20000)
	c := r.dial()
	c.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", len(body), body[:7000])
	eventually(t, "a goroutine to take over", func() bool { _, left := r.lanes(); return left == 1 })
	c.send("%s", body[7000:])
	want := fmt.Sprintf("20000 %08x <nil>", crc32.ChecksumIEEE(body))
	if res, got, err := c.response("POST"); err != nil || res.StatusCode != 200 || got != want {
		t.Errorf("got %d %q %v, want %q", res.StatusCode, got, err, want)
	}
	c.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 20000\r\n\r\n")
	if res, _, err := c.response("POST"); err != nil || res.StatusCode != 408 {
		t.Errorf("nothing was sent: got %d %v, want 408", res.StatusCode, err)
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("the server saw %d requests, want 1", n)
	}
}

// TestLaneBodyClientGone: a request whose body breaks off reaches no server.
func TestLaneBodyClientGone(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	r := newRigWith(t, true, plain, sums(t, &asked).addr)
	for _, reset := range []bool{false, true} {
		for _, sent := range []int{0, 1, 5000} {
			c := r.dial()
			c.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5001\r\n\r\n%s", bytes.Repeat([]byte("x"), sent))
			if reset {
				c.SetLinger(0)
			}
			c.Close()
		}
	}
	r.wantNone(t)
	r.wantIdle(t)
	if n := asked.Load(); n != 0 {
		t.Errorf("the server saw %d requests, want none", n)
	}
}

// TestLaneBodyKilled: requests whose bodies are awaited do not outlive their server.
func TestLaneBodyIsKilled(t *testing.T) {
	t.Parallel()
	r := newRigWith(t, true, plain, sums(t, nil).addr)
	for range 5 {
		r.dial().send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nb")
	}
	eventually(t, "the requests to be seen", func() bool {
		return r.metrics.Gauge(metric.L7ActiveRequests, "web").Load() == 5
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := r.server.Drain(ctx); err == nil {
		t.Error("the drain ended by itself")
	}
	r.wantNone(t)
	r.wantIdle(t)
}

// TestLaneBodyBehindSlowAnswer: how long the last answer took is no matter for the body of
// a request that came before it did.
func TestLaneBodyBehindSlowAnswer(t *testing.T) {
	t.Parallel()
	o := newHTTPOrigin(t, func(w http.ResponseWriter, req *http.Request) {
		if req.Method == "GET" {
			time.Sleep(time.Second)
		}
		n, err := io.Copy(io.Discard, req.Body)
		fmt.Fprintf(w, "%d %v", n, err)
	})
	const short = "listen = [\"127.0.0.1:0\"]\nkeepalive_timeout = \"400ms\"\n"
	r := newRigWith(t, true, strings.Replace(plain, "listen = [\"127.0.0.1:0\"]\n", short, 1), o.addr)
	c := r.dial()
	c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\nPOST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nbod")
	c.response("GET")
	time.Sleep(10 * time.Millisecond) // the lane has the request by now
	c.send("y of 9")
	if res, got, err := c.response("POST"); err != nil || res.StatusCode != 200 || got != "9 <nil>" {
		t.Errorf("got %d %q %v", res.StatusCode, got, err)
	}
}
