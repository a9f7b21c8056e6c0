package l7

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// The backends of the tests below say what they, in net/http, have read.
func readers(t *testing.T) *rig {
	say := func(name string) *origin {
		return newHTTPOrigin(t, func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				panic(http.ErrAbortHandler)
			}
			w.Header().Set("X-Read", "1")
			io.WriteString(w, name+" "+reading(r, body))
		})
	}
	return newRig(t, `
[pool.rest]
servers = ["%s"]
[pool.admin]
servers = ["%s"]
[pool.api]
servers = ["%s"]
[[l7]]
name = "web"
listen = ["127.0.0.1:0"]
[[l7.route]]
pool = "rest"
[[l7.route]]
path = "/admin/"
pool = "admin"
[[l7.route]]
host = ["api.example.com"]
method = ["GET", "POST"]
pool = "api"
`, say("rest").addr, say("admin").addr, say("api").addr)
}

// reading is what a request is to net/http: method, host, target and body.
func reading(r *http.Request, body []byte) string {
	return fmt.Sprintf("%s %s %s %x", r.Method, strings.ToLower(r.Host), r.URL.RequestURI(), body)
}

// poolOf is where a request belongs by an obvious reading of the routes above; ""
// is nowhere. A path below /admin/ on the API's host goes by the more specific host.
func poolOf(r *http.Request) string {
	host := strings.ToLower(r.Host)
	if i := strings.LastIndexByte(host, ':'); i >= 0 {
		host = host[:i]
	}
	api := strings.TrimSuffix(host, ".") == "api.example.com"
	admin := strings.HasPrefix(r.URL.Path+"/", "/admin/")
	switch {
	case api && (r.Method == "GET" || r.Method == "HEAD" || r.Method == "POST"):
		return "api"
	case admin:
		return "admin"
	}
	return "rest"
}

// generator makes requests that Weir should take.
type generator struct{ *rand.Rand }

func (g generator) of(choices ...string) string { return choices[g.IntN(len(choices))] }

func (g generator) request() string {
	var b strings.Builder
	host := g.of("www.example.com", "WWW.example.com:8080", "api.example.com", "API.Example.com.", "api.example.com:80", "x.y", "[::1]:9")
	target := "/"
	for range g.IntN(4) {
		target += g.of("admin", "%61dmin", "Admin", "a", "b.c", "%7e", "%C3%a9", "...", "a;b=c", "%20", "", "administrator") + g.of("/", "")
	}
	if g.IntN(3) == 0 {
		target += "?" + g.of("", "a=b", "%2F..%2f", "/../", "a?b", "%zz")
	}
	if g.IntN(6) == 0 {
		target = "http://" + host + target
	}
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\n", g.of("GET", "GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "QUERY"), target)
	hostLine := "Host: " + host + "\r\n"
	if g.IntN(2) == 0 {
		b.WriteString(hostLine)
		hostLine = ""
	}
	for range g.IntN(4) {
		b.WriteString(g.of("X-A: 1", "x-b:\t2 ", "X_C: 3", "Cookie: a=b", "X-Forwarded-Host: evil", "X-D:", "Accept: */*",
			"Connection: X-A, keep-alive", "Upgrade: h2c", "TE: trailers", "Via: 1.0 x") + "\r\n")
	}
	b.WriteString(hostLine)
	g.body(&b)
	return b.String()
}

// body ends the head and adds a body, which now and then looks like a request.
func (g generator) body(b *strings.Builder) {
	data := g.of("", "hello", "0\r\n\r\n", "GET /admin/x HTTP/1.1\r\nHost: www.example.com\r\n\r\n", strings.Repeat("x", g.IntN(20_000)))
	switch g.IntN(3) {
	case 0:
		b.WriteString("\r\n")
	case 1:
		fmt.Fprintf(b, "Content-Length: %d\r\n\r\n%s", len(data), data)
	default:
		b.WriteString("Transfer-Encoding: " + g.of("chunked", "Chunked") + "\r\n\r\n")
		for len(data) > 0 {
			n := 1 + g.IntN(len(data))
			fmt.Fprintf(b, g.of("%x", "%X", "00%x")+"%s\r\n%s\r\n", n, g.of("", "", ";a=b", ";c"), data[:n])
			data = data[n:]
		}
		b.WriteString("0\r\n" + g.of("", "X-Sum: 1\r\n") + "\r\n")
	}
}

// parsed reads a request the way of net/http, from the octets that the client sent.
func parsed(br *bufio.Reader) (*http.Request, []byte, error) {
	r, err := http.ReadRequest(br)
	if err != nil {
		return nil, nil, err
	}
	body, err := io.ReadAll(r.Body)
	return r, body, err
}

// expected is what the client has to get back for a request.
func expected(r *http.Request, body []byte) string {
	q := *r
	if r.URL.IsAbs() { // what goes on is the origin form
		q.URL = &url.URL{Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery, ForceQuery: r.URL.ForceQuery}
	}
	return poolOf(r) + " " + reading(&q, body)
}

// TestRoutedIsSent sends random requests over kept connections: the backend that the
// request belongs to, and no other, reads what the client has written.
func TestRoutedIsSent(t *testing.T) {
	t.Parallel()
	r := readers(t)
	const connections, requests = 8, 250
	for seed := range uint64(connections) {
		g := generator{rand.New(rand.NewPCG(seed, 1))}
		c := r.dial()
		for range requests {
			raw := g.request()
			want, body, err := parsed(bufio.NewReader(strings.NewReader(raw)))
			if err != nil {
				t.Fatalf("seed %d: the generator made %q: %v", seed, raw, err)
			}
			c.send("%s", raw)
			res, got, err := c.response(want.Method)
			if err != nil || res.StatusCode != 200 || got != expected(want, body) {
				t.Fatalf("seed %d: %q\ngot  %s %q %v\nwant %q", seed, raw, res.Status, got, err, expected(want, body))
			}
		}
		c.Close()
	}
}

// spoil changes a few octets of a request.
func (g generator) spoil(raw string) string {
	b := []byte(raw)
	head := bytes.Index(b, []byte("\r\n\r\n")) + 4
	for range 1 + g.IntN(3) {
		at := g.IntN(head)
		nasty := g.of("\r", "\n", "\r\n", " ", "\t", "\x00", ":", ",", ";", "\x0b", "\xff", "%", "/", ".", "..", "#", "?", "@", "0", "-", "+",
			"\r\nContent-Length: 3", "\r\nTransfer-Encoding: chunked", "\r\nHost: evil", "\r\n ", "\r\nX", "\\")
		switch g.IntN(3) {
		case 0:
			b = append(b[:at:at], append([]byte(nasty), b[at:]...)...)
		case 1:
			b = append(b[:at:at], b[at+1:]...)
		default:
			b[at] = nasty[0]
		}
		head = min(head, len(b))
	}
	return string(b)
}

// TestSpoiledIsRefusedOrMeansTheSame sends requests with a few octets changed. Weir
// may refuse them; what it passes on is what net/http reads in the client's octets,
// request by request.
func TestSpoiledIsRefusedOrMeansTheSame(t *testing.T) {
	t.Parallel()
	r := readers(t)
	refused, passed := 0, 0
	for seed := range uint64(1500) {
		g := generator{rand.New(rand.NewPCG(seed, 2))}
		raw := g.spoil(g.request())
		c := r.dial()
		c.send("%s", raw)
		c.CloseWrite()
		theirs := bufio.NewReader(strings.NewReader(strings.TrimPrefix(raw, "\r\n")))
		for {
			c.SetReadDeadline(time.Now().Add(20 * time.Second))
			res, err := http.ReadResponse(c.br, nil)
			if err != nil {
				if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Fatalf("seed %d: %q: %v", seed, raw, err)
				}
				break
			}
			got, err := io.ReadAll(res.Body)
			if err != nil {
				break // a HEAD that spoiling made: its response has no body to compare
			}
			if res.Header.Get("X-Read") == "" {
				refused++
				break
			}
			want, body, err := parsed(theirs)
			if err != nil {
				t.Errorf("seed %d: %q is passed on as %q, net/http says %v", seed, raw, got, err)
				break
			}
			if passed++; string(got) != expected(want, body) {
				t.Errorf("seed %d: %q\ngot  %q\nwant %q", seed, raw, got, expected(want, body))
			}
		}
		c.Close()
	}
	if refused < 300 || passed < 100 {
		t.Errorf("%d were refused, %d passed on: that shows too little", refused, passed)
	}
}
