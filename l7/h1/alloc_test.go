package h1

import (
	"io"
	"strings"
	"testing"

	"weir/l7/message"
	"weir/pool"
)

// script is a connection that serves the same octets again and again.
type script struct {
	record
	in   []byte
	sent int
}

func (s *script) Read(p []byte) (int, error) {
	n := copy(p, s.in[s.sent:])
	s.sent = (s.sent + n) % len(s.in)
	return n, nil
}

func (s *script) Write(p []byte) (int, error) { return len(p), nil }

// TestAllocations asserts that a kept connection allocates nothing per exchange.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("allocations differ under the race detector")
	}
	body := make([]byte, 40000)
	var r message.Request
	exchange := func(c *Conn, framing message.Framing) {
		if err := c.ReadRequest(&r); err != nil {
			t.Fatal(err)
		}
		if err := c.WriteContinue(); err != nil {
			t.Fatal(err)
		}
		for {
			if _, err := c.ReadBody(); err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
		head := message.AppendStatusLine(c.AvailableBuffer(), 200, []byte("OK"))
		if err := c.WriteHead(append(head, "\r\n"...), framing, int64(len(body))); err != nil {
			t.Fatal(err)
		}
		if err := c.WriteBody(body); err != nil {
			t.Fatal(err)
		}
		if err := c.EndBody(nil); err != nil || !c.Finish() {
			t.Fatal(err)
		}
	}
	for name, in := range map[string]string{
		"a get":          get,
		"a large head":   "GET / HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("x", 3000) + "\r\n\r\n",
		"a length body":  post + "Content-Length: 40000\r\n\r\n" + strings.Repeat("x", 40000),
		"a chunked body": post + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\n\r\n",
		"an expectation": post + "Content-Length: 5\r\nExpect: 100-continue\r\n\r\nhello",
	} {
		for _, framing := range []message.Framing{message.Length, message.Chunked} {
			c := NewConn(&script{in: []byte(in)}, nil)
			if n := testing.AllocsPerRun(100, func() { exchange(c, framing) }); n != 0 {
				t.Errorf("%s answered with %s allocates %v times", name, framing, n)
			}
			c.Close()
		}
	}
}

// BenchmarkExchange is the cost of a kept connection's GET without the kernel.
func BenchmarkExchange(b *testing.B) {
	pool.Track(false)
	defer pool.Track(true)
	c := NewConn(&script{in: []byte(get)}, nil)
	defer c.Close()
	var r message.Request
	body := []byte("hello, world\n")
	b.ReportAllocs()
	for b.Loop() {
		if err := c.ReadRequest(&r); err != nil {
			b.Fatal(err)
		}
		head := append(c.AvailableBuffer(), "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n"...)
		c.WriteHead(head, message.Length, 13)
		c.WriteBody(body)
		if err := c.EndBody(nil); err != nil || !c.Finish() {
			b.Fatal(err)
		}
	}
}
