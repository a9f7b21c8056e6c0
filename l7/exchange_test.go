package l7

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
)

func TestGet(t *testing.T) {
	o := newHTTPOrigin(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "you asked for %s", r.URL) })
	r := newRig(t, plain, o.addr)
	c := r.dial()
	for i := range 5 {
		res, body := c.get(fmt.Sprintf("/x?%d", i))
		if want := fmt.Sprintf("you asked for /x?%d", i); res.StatusCode != 200 || body != want {
			t.Fatalf("got %d %q, want 200 %q", res.StatusCode, body, want)
		}
	}
}

// TestBodies sends bodies of many sizes both ways, framed in both ways.
func TestBodies(t *testing.T) {
	t.Parallel()
	o := newHTTPOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		if r.URL.Query().Get("chunked") == "" {
			w.Header().Set("Content-Length", fmt.Sprint(len(b)))
		}
		for len(b) > 0 {
			n := min(len(b), 70_000)
			w.Write(b[:n])
			b = b[n:]
		}
	})
	r := newRig(t, plain, o.addr)
	rnd := rand.New(rand.NewPCG(1, 2))
	c := r.dial()
	for _, size := range []int{0, 1, 100, 4095, 4096, 16384, 65535, 65536, 65537, 300_000, 3_000_000} {
		for _, chunked := range []bool{false, true} {
			data := make([]byte, size)
			for i := range data {
				data[i] = byte(rnd.Uint32())
			}
			query := ""
			if chunked {
				query = "?chunked=1"
			}
			req, _ := http.NewRequest("POST", "http://www.example.com/"+query, struct{ io.Reader }{bytes.NewReader(data)})
			if !chunked {
				req.ContentLength = int64(size)
				if size == 0 {
					req.Body = nil
				}
			}
			errs := make(chan error, 1)
			go func() { errs <- req.Write(c.TCPConn) }()
			res, body, err := c.response("POST")
			if err != nil || res.StatusCode != 200 {
				t.Fatalf("size %d chunked %v: %v %v", size, chunked, res.Status, err)
			}
			if err := <-errs; err != nil {
				t.Fatal(err)
			}
			if sha256.Sum256([]byte(body)) != sha256.Sum256(data) {
				t.Fatalf("size %d chunked %v: another body came back, %d octets", size, chunked, len(body))
			}
			if res.Close {
				t.Errorf("size %d chunked %v: the connection was closed", size, chunked)
				c = r.dial()
			}
		}
	}
}

// seen serves one canned response per request and hands out the heads it saw.
func seen(t *testing.T, response string) (*origin, chan string) {
	heads := make(chan string, 16)
	o := newOrigin(t, func(c *net.TCPConn, br *bufio.Reader) {
		for {
			head, err := readHead(br)
			if err != nil {
				return
			}
			heads <- head
			io.WriteString(c, response)
		}
	})
	return o, heads
}

func TestRequestHead(t *testing.T) {
	o, heads := seen(t, "HTTP/1.1 204 No Content\r\n\r\n")
	r := newRig(t, plain, o.addr)
	f := func(request, want string) {
		t.Helper()
		c := r.dial()
		c.send("%s", request)
		c.response("GET")
		got := <-heads
		at := strings.Index(got, "X-Request-Id: ")
		if at < 0 || len(got) < at+48 {
			t.Fatalf("no request id in %q", got)
		}
		got = got[:at] + got[at+len("X-Request-Id: ")+34:]
		if got != want {
			t.Errorf("got\n%q, want\n%q", got, want)
		}
	}
	const xf = "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: www.example.com\r\n"
	f("GET /a//b?c HTTP/1.1\r\nX-a: 1\r\nHost: www.example.com\r\nx-A: 2\r\n\r\n",
		"GET /a//b?c HTTP/1.1\r\nX-a: 1\r\nHost: www.example.com\r\nx-A: 2\r\n"+xf+"\r\n")
	f("GET http://www.example.com/p HTTP/1.1\r\nHost: www.example.com\r\n\r\n",
		"GET /p HTTP/1.1\r\nHost: www.example.com\r\n"+xf+"\r\n")
	f("GET / HTTP/1.1\r\nHost: www.example.com\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 3\r\nTE: trailers\r\n"+
		"Proxy-Authorization: x\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\nX-Forwarded-For: 1.2.3.4\r\nX-Request-Id: mine\r\n"+
		"Forwarded: for=x\r\nX-Real-IP: 1.1.1.1\r\nX-Forwarded-Port: 1\r\nx-forwarded-prefix: /x\r\nX_Under: 1\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: www.example.com\r\n"+xf+"\r\n")
}

func TestTrustedProxy(t *testing.T) {
	o, heads := seen(t, "HTTP/1.1 204 No Content\r\n\r\n")
	r := newRig(t, strings.Replace(plain, "listen =", "trusted_proxies = [\"127.0.0.0/8\"]\nforwarded = true\nvia = true\nlisten =", 1), o.addr)
	c := r.dial()
	c.send("GET / HTTP/1.1\r\nHost: www.example.com\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: 5.6.7.8\r\n" +
		"X-Forwarded-Proto: https\r\nX-Forwarded-Port: 1\r\nX-Request-Id: mine\r\n\r\n")
	c.response("GET")
	want := "GET / HTTP/1.1\r\nHost: www.example.com\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 1\r\n" +
		"X-Forwarded-For: 1.2.3.4, 5.6.7.8, 127.0.0.1\r\nX-Forwarded-Host: www.example.com\r\nX-Request-Id: mine\r\n" +
		"Forwarded: for=127.0.0.1;proto=http;host=\"www.example.com\"\r\nVia: 1.1 weir\r\n\r\n"
	if got := <-heads; got != want {
		t.Errorf("got\n%q, want\n%q", got, want)
	}
}

func TestResponseHead(t *testing.T) {
	f := func(response, want string) {
		t.Helper()
		o, _ := seen(t, response)
		r := newRig(t, strings.Replace(plain, "pool = \"app\"", "pool = \"app\"\nhide_headers = [\"server\", \"X-Powered-By\"]", 1), o.addr)
		c := r.dial()
		c.send("GET / HTTP/1.1\r\nHost: www.example.com\r\nConnection: close\r\n\r\n")
		got, err := io.ReadAll(c.br)
		if err != nil {
			t.Fatal(err)
		}
		if got := normalise(got); string(got) != strings.ReplaceAll(want, "$DATE", anyDate) {
			t.Errorf("got\n%q, want\n%q", got, want)
		}
	}
	f("HTTP/1.1 200 Fine\r\nServer: x\r\nContent-Length: 2\r\nx-powered-by: y\r\nX-A: 1\r\nX-A: 2\r\nKeep-Alive: 5\r\n\r\nok",
		"HTTP/1.1 200 Fine\r\nContent-Length: 2\r\nX-A: 1\r\nX-A: 2\r\nDate: $DATE\r\nConnection: close\r\n\r\nok")
	f("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-T: 1\r\n\r\n",
		"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nDate: $DATE\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"+
			"2\r\nok\r\n0\r\nX-T: 1\r\n\r\n")
	f("HTTP/1.1 103 Early Hints\r\nServer: x\r\nLink: y\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
		"HTTP/1.1 103 Early Hints\r\nLink: y\r\n\r\nHTTP/1.1 204 No Content\r\nDate: $DATE\r\nConnection: close\r\n\r\n")
	f("HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n",
		"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\nDate: $DATE\r\nConnection: close\r\n\r\n")
}

func TestCloseDelimitedBecomesChunked(t *testing.T) {
	o := newOrigin(t, func(c *net.TCPConn, br *bufio.Reader) {
		readHead(br)
		io.WriteString(c, "HTTP/1.0 200 OK\r\n\r\nall there is")
	})
	r := newRig(t, plain, o.addr)
	c := r.dial()
	for range 2 {
		if res, body := c.get("/"); body != "all there is" || len(res.TransferEncoding) != 1 {
			t.Errorf("got %q with %v", body, res.TransferEncoding)
		}
	}
	c.send("GET / HTTP/1.0\r\n\r\n")
	if got, _ := io.ReadAll(c.br); !bytes.HasSuffix(got, []byte("\r\nConnection: close\r\n\r\nall there is")) {
		t.Errorf("got %q", got)
	}
}

func TestRefusals(t *testing.T) {
	o := newHTTPOrigin(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) })
	config := strings.Replace(plain, "pool = \"app\"", "host = [\"www.example.com\"]\nmethod = [\"GET\", \"POST\"]\nmax_body = 10\npool = \"app\"", 1)
	r := newRig(t, config, o.addr)
	f := func(request string, status int, closed bool) {
		t.Helper()
		c := r.dial()
		c.send("%s", request)
		res, body, err := c.response("GET")
		if err != nil || res.StatusCode != status || res.Close != closed {
			t.Errorf("%q: got %d close %v %v, want %d close %v", request, res.StatusCode, res.Close, err, status, closed)
		}
		if status > 299 && !strings.HasPrefix(body, fmt.Sprint(status)) {
			t.Errorf("%q: body %q", request, body)
		}
		if closed {
			c.wantClosed()
		}
	}
	const h = "Host: www.example.com\r\n"
	f("GET / HTTP/1.1\r\n"+h+"\r\n", 204, false)
	f("GET / HTTP/1.1\r\nHost: other\r\n\r\n", 404, false)
	f("PUT / HTTP/1.1\r\n"+h+"\r\n", 405, false)
	f("POST / HTTP/1.1\r\n"+h+"Content-Length: 11\r\n\r\n12345678901", 413, false)
	f("POST / HTTP/1.1\r\n"+h+"Content-Length: 1000000\r\n\r\n1", 413, true)
	f("POST / HTTP/1.1\r\n"+h+"Transfer-Encoding: chunked\r\n\r\nb\r\n12345678901\r\n0\r\n\r\n", 413, true)
	f("GET / HTTP/1.1\r\n\r\n", 400, true)
	f("GET / HTTP/1.1\n"+h+"\r\n", 400, true)
	f("GET /%2e%2e/ HTTP/1.1\r\n"+h+"\r\n", 400, true)
	f("TRACE / HTTP/1.1\r\n"+h+"\r\n", 405, true)
	f("GET / HTTP/2.0\r\n"+h+"\r\n", 505, true)
	f("GET /"+strings.Repeat("a", 9000)+" HTTP/1.1\r\n"+h+"\r\n", 414, true)
	f("GET / HTTP/1.1\r\n"+h+"X: "+strings.Repeat("a", 40000)+"\r\n\r\n", 431, true)
	f("POST / HTTP/1.1\r\n"+h+"Transfer-Encoding: gzip, chunked\r\n\r\n", 501, true)
	f("GET / HTTP/1.1\r\n"+h+"Expect: tea\r\n\r\n", 417, true)
	f("POST / HTTP/1.1\r\n"+h+"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400, true)
}
