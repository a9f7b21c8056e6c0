package l7

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"runtime"
	"testing"
)

// cannedOrigin answers every request head with the same octets and allocates
// nothing per request.
func cannedOrigin(t testing.TB, response string) *origin {
	return newOrigin(t, func(c *net.TCPConn, _ *bufio.Reader) {
		buf := make([]byte, 1<<16)
		answer := []byte(response)
		n := 0
		for {
			m, err := c.Read(buf[n:])
			if err != nil {
				return
			}
			n += m
			if !bytes.HasSuffix(buf[:n], []byte("\r\n\r\n")) {
				continue
			}
			n = 0
			if _, err := c.Write(answer); err != nil {
				return
			}
		}
	})
}

const (
	benchRequest = "GET /a/path?with=query HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: bench\r\n" +
		"Accept: */*\r\nAccept-Encoding: gzip\r\n\r\n"
	benchResponse = "HTTP/1.1 200 OK\r\nServer: origin\r\nDate: Mon, 23 Nov 2026 06:14:46 GMT\r\n" +
		"Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
)

// oneExchange sends the request and reads an answer of n octets into buf.
func oneExchange(c net.Conn, request, buf []byte, n int) error {
	if _, err := c.Write(request); err != nil {
		return err
	}
	_, err := io.ReadFull(c, buf[:n])
	return err
}

func BenchmarkExchange(b *testing.B) {
	o := cannedOrigin(b, benchResponse)
	r := newRig(b, plain, o.addr)
	const each = 4 // clients for each processor: few enough for none to be quiet, and so parked
	clients := make(chan *client, each*runtime.GOMAXPROCS(0))
	for range cap(clients) { // making them is not what is measured
		c := r.dial()
		if err := oneExchange(c.TCPConn, []byte(benchRequest), make([]byte, 4096), len(benchResponse)); err != nil {
			b.Fatal(err)
		}
		clients <- c
	}
	b.SetParallelism(each)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		c := <-clients
		request, buf := []byte(benchRequest), make([]byte, 4096)
		for pb.Next() {
			if err := oneExchange(c.TCPConn, request, buf, len(benchResponse)); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// TestExchangeAllocatesNothing counts over the whole process, so that client and
// origin have to allocate nothing as well.
func TestExchangeAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	o := cannedOrigin(t, benchResponse)
	r := newRig(t, plain, o.addr)
	c := r.dial()
	request, buf := []byte(benchRequest), make([]byte, 4096)
	run := func(n int) {
		for range n {
			if err := oneExchange(c.TCPConn, request, buf, len(benchResponse)); err != nil {
				t.Fatal(err)
			}
		}
	}
	run(200)
	const exchanges = 2000
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	run(exchanges)
	runtime.ReadMemStats(&after)
	// Timers of the runtime and the sweeper may allocate now and then.
	if n := after.Mallocs - before.Mallocs; n > exchanges/20 {
		t.Errorf("%d allocations in %d exchanges", n, exchanges)
	}
	if served, left := r.lanes(); !r.server.noLanes && (served < exchanges || left > 0) {
		t.Errorf("%d requests were served on the lane and %d left it", served, left)
	}
}
