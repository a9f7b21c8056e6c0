package origin

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func startTest(t *testing.T, o Options) *Origin {
	t.Helper()
	o.Addr = "127.0.0.1:0"
	s, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func dial(t *testing.T, o *Origin) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", o.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return c.(*net.TCPConn)
}

// TestHTTP: requests in any pieces, also several at once, get an answer each.
func TestHTTP(t *testing.T) {
	o := startTest(t, Options{Kind: HTTP, Body: 300_000})
	const text = "GET / HTTP/1.1\r\nHost: a\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 10\r\n\r\n0123456789" +
		"GET /last HTTP/1.1\r\nConnection: close\r\n\r\n"
	for _, piece := range []int{1, 7, len(text)} {
		c := dial(t, o)
		go func() {
			for b := []byte(text); len(b) > 0; {
				n, err := c.Write(b[:min(piece, len(b))])
				if err != nil {
					return
				}
				b = b[n:]
			}
		}()
		r := bufio.NewReader(c)
		for i := range 3 {
			resp, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatalf("answer %d, pieces of %d: %v", i, piece, err)
			}
			got, err := io.ReadAll(resp.Body)
			if err != nil || !bytes.Equal(got, body(300_000)) {
				t.Fatalf("answer %d, pieces of %d: %d bytes, %v", i, piece, len(got), err)
			}
		}
		if _, err := r.ReadByte(); err != io.EOF {
			t.Fatalf("pieces of %d: %v after the last answer, want the end", piece, err)
		}
	}
	if o.Requests() != 9 {
		t.Errorf("%d requests, want 9", o.Requests())
	}
}

// TestHTTPRefuses: what it does not understand ends the connection.
func TestHTTPRefuses(t *testing.T) {
	o := startTest(t, Options{Kind: HTTP})
	f := func(text string) {
		t.Helper()
		c := dial(t, o)
		_, _ = io.WriteString(c, text)
		if n, err := c.Read(make([]byte, 1)); err == nil {
			t.Errorf("%.40q: %d bytes of an answer", text, n)
		}
	}
	f("POST / HTTP/1.1\r\nContent-Length: ten\r\n\r\n")
	f("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
	f(strings.Repeat("x", 2*maxHead))
}

func TestEcho(t *testing.T) {
	c := dial(t, startTest(t, Options{Kind: Echo}))
	want := body(3 << 20) // more than the origin keeps for a client that does not read
	go func() { _, _ = c.Write(want) }()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("not the same bytes: %v", err)
	}
}

func TestSourceAndSink(t *testing.T) {
	c := dial(t, startTest(t, Options{Kind: Source}))
	if n, err := io.CopyN(io.Discard, c, 10<<20); err != nil {
		t.Fatalf("%d bytes, %v", n, err)
	}
	sink := startTest(t, Options{Kind: Sink, Loops: 2})
	c = dial(t, sink)
	if _, err := c.Write(body(1 << 20)); err != nil {
		t.Fatal(err)
	}
	_ = c.CloseWrite()
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Fatal(err)
	}
	if sink.Received() != 1<<20 {
		t.Errorf("%d bytes, want %d", sink.Received(), 1<<20)
	}
}

// TestStall: what comes in a stall is answered at its end.
func TestStall(t *testing.T) {
	c := dial(t, startTest(t, Options{Kind: Echo, Stall: Stall{Every: 300 * time.Millisecond, For: 150 * time.Millisecond}}))
	longest := time.Duration(0)
	for start := time.Now(); time.Since(start) < time.Second; {
		sent := time.Now()
		_, _ = c.Write([]byte("x"))
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		longest = max(longest, time.Since(sent))
	}
	if longest < 100*time.Millisecond {
		t.Errorf("the longest echo took %s, want about 150ms", longest)
	}
}

func TestStartRefuses(t *testing.T) {
	f := func(o Options, want string) {
		t.Helper()
		if o.Addr == "" {
			o.Addr = "127.0.0.1:0"
		}
		s, err := Start(o)
		if err == nil {
			s.Close()
		}
		if got := fmt.Sprint(err); !strings.Contains(got, want) {
			t.Errorf("%+v: %s, want %s", o, got, want)
		}
	}
	taken := startTest(t, Options{Kind: HTTPS})
	f(Options{Kind: HTTP, Addr: "nonsense"}, `cannot listen on "nonsense"`)
	f(Options{Kind: HTTP, Addr: taken.Addr()}, "address already in use")
	f(Options{Kind: H2C, Addr: taken.Addr()}, "address already in use")
	f(Options{Kind: "gopher"}, `unknown kind of origin "gopher"`)
	f(Options{Kind: HTTP, Body: -1}, "body of -1 bytes")
	f(Options{Kind: HTTP, Loops: -1}, "-1 loops")
	f(Options{Kind: HTTP, Stall: Stall{Every: 1, For: 1}}, "a part of the time")
	f(Options{Kind: UDP, Stall: Stall{Every: 2, For: 1}}, "cannot stall")
	f(Options{Kind: H2C, Stall: Stall{Every: 2, For: 1}}, "cannot stall")
}
