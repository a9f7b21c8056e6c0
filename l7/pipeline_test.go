package l7

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestPipelinesOfSlowReaders: clients that send many requests at once and take the answers
// slowly get all of them whole and in order, however often their
// connections change between the lane and goroutines.
func TestPipelinesOfSlowReaders(t *testing.T) {
	t.Parallel()
	o := newHTTPOrigin(t, func(w http.ResponseWriter, q *http.Request) {
		var size int
		fmt.Sscanf(q.URL.RawQuery, "%d", &size)
		if size%3 == 0 {
			w.(http.Flusher).Flush() // chunked
		}
		io.WriteString(w, q.URL.Path+strings.Repeat("x", size))
	})
	r := newRigWith(t, true, plain, o.addr)
	var wg sync.WaitGroup
	held := make(chan struct{})
	for id := range 8 {
		c := r.dial()
		c.SetReadBuffer(64 << 10)
		wg.Go(func() { pipeline(t, c, id, held) })
	}
	eventually(t, "a lane that cannot go on", func() bool { _, left := r.lanes(); return left > 0 })
	close(held)
	wg.Wait()
	r.wantNone(t)
	r.wantIdle(t)
	if n := r.server.panics.Load(); n > 0 {
		t.Errorf("%d panics:\n%s", n, r.log)
	}
}

// pipeline sends requests of one client and reads the answers when it may.
func pipeline(t *testing.T, c *client, id int, held <-chan struct{}) {
	rnd := rand.New(rand.NewPCG(uint64(id), 5))
	const requests = 150
	var all strings.Builder
	sizes := make([]int, requests)
	for i := range sizes {
		if sizes[i] = rnd.IntN(300); rnd.IntN(3) == 0 { // more in all than the kernel holds
			sizes[i] = rnd.IntN(400 << 10)
		}
		fmt.Fprintf(&all, "GET /%d/%d/?%d HTTP/1.1\r\nHost: a\r\n\r\n", id, i, sizes[i])
	}
	sent := make(chan error, 1)
	go func(c net.Conn) {
		_, err := io.WriteString(c, all.String())
		sent <- err
	}(c.TCPConn)
	<-held
	for i, size := range sizes {
		res, err := http.ReadResponse(c.br, &http.Request{Method: "GET"})
		if err != nil {
			t.Errorf("client %d, answer %d: %v", id, i, err)
			return
		}
		body, err := io.ReadAll(res.Body)
		want := fmt.Sprintf("/%d/%d/", id, i)
		if err != nil || len(body) != len(want)+size || !strings.HasPrefix(string(body), want) {
			t.Errorf("client %d, answer %d: %d octets %.20q, %v, want %d of %s", id, i, len(body), body, err, len(want)+size, want)
			return
		}
		if rnd.IntN(10) == 0 {
			time.Sleep(time.Duration(rnd.IntN(3)) * time.Millisecond)
			c.SetDeadline(time.Now().Add(clientPatience))
		}
	}
	if err := <-sent; err != nil {
		t.Errorf("client %d: %v", id, err)
	}
	c.Close()
}
