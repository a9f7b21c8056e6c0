package l7

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"

	"weir/pool/metric"
)

// compressed is plain with a route that compresses.
const compressed = plain + "compress = true\n"

// decode takes a body apart as a client would, with decoders of other makers than the
// encoders where there are some. An error means that it is not a whole stream.
func decode(coding string, r io.Reader) ([]byte, error) {
	switch coding {
	case "gzip":
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, err
		}
		return io.ReadAll(z)
	case "br":
		return io.ReadAll(brotli.NewReader(r))
	case "zstd":
		z, err := zstd.NewReader(r)
		if err != nil {
			return nil, err
		}
		defer z.Close()
		return io.ReadAll(z)
	}
	return io.ReadAll(r)
}

// long is a body that is worth it.
var long = strings.Repeat(`{"name":"weir","kind":"proxy"},`, 200)

// TestCompress: who gets which coding of which response, and what the head says then.
func TestCompress(t *testing.T) {
	o := newOrigin(t, func(c *net.TCPConn, br *bufio.Reader) {
		for {
			head, err := readHead(br)
			if err != nil {
				return
			}
			// The origin answers with the lines that X-Answer has, and the body.
			_, lines, _ := strings.Cut(head, "X-Answer: ")
			lines, _, _ = strings.Cut(lines, "\r\n")
			status, fields, _ := strings.Cut(lines, "|")
			body := long
			if rest, ok := strings.CutSuffix(fields, "|tiny"); ok {
				fields, body = rest, "tiny"
			}
			fmt.Fprintf(c, "HTTP/1.1 %s\r\n%s\r\n", status, strings.ReplaceAll(fields, "|", "\r\n"))
			switch {
			case strings.HasPrefix(status, "304"), strings.HasPrefix(status, "204"):
				io.WriteString(c, "\r\n")
			case strings.HasPrefix(head, "HEAD "):
				fmt.Fprintf(c, "Content-Length: %d\r\n\r\n", len(body))
			default:
				fmt.Fprintf(c, "Content-Length: %d\r\n\r\n%s", len(body), body)
			}
		}
	})
	r := newRig(t, compressed, o.addr)
	c := r.dial()
	// want: the coding, and which of vary and weak hold.
	f := func(method, request, answer, want string) {
		t.Helper()
		c.send("%s / HTTP/1.1\r\nHost: www.example.com\r\n%s\r\nX-Answer: %s\r\n\r\n", method,
			strings.ReplaceAll(request, "|", "\r\n"), answer)
		res, body, err := c.response(method)
		if err != nil {
			t.Fatal(err)
		}
		got := res.Header.Get("Content-Encoding")
		plainBody, err := decode(got, strings.NewReader(body))
		if method == "GET" && err != nil {
			t.Errorf("%s -> %s: the body is not %s: %v", request, answer, got, err)
		}
		wantBody := long
		switch {
		case method != "GET" || res.StatusCode == 304 || res.StatusCode == 204:
			plainBody, wantBody = nil, ""
		case strings.HasSuffix(answer, "|tiny"):
			wantBody = "tiny"
		}
		if string(plainBody) != wantBody {
			t.Errorf("%s -> %s: another body came, of %d octets", request, answer, len(plainBody))
		}
		if got != "" && (res.ContentLength >= 0 || res.Header.Get("Accept-Ranges")+res.Header.Get("Repr-Digest")+
			res.Header.Get("Content-Digest")+res.Header.Get("Digest")+res.Header.Get("Content-MD5") != "") {
			t.Errorf("%s -> %s: fields of the body as it was: %v", request, answer, res.Header)
		}
		if strings.Contains(strings.ToLower(strings.Join(res.Header.Values("Vary"), ",")), "accept-encoding") {
			got += " vary"
		}
		if strings.HasPrefix(res.Header.Get("ETag"), "W/") {
			got += " weak"
		}
		if strings.TrimSpace(got) != want {
			t.Errorf("%s %s -> %s: got %q, want %q (%v)", method, request, answer, got, want, res.Header)
		}
	}
	const json = "200 OK|Content-Type: application/json"
	f("GET", "Accept-Encoding: gzip", json, "gzip vary")
	f("GET", "Accept-Encoding: gzip, deflate, br, zstd", json, "zstd vary")
	f("GET", "Accept-Encoding: gzip, deflate, br", json, "br vary")
	f("GET", "Accept-Encoding: gzip;q=1, br;q=0.5, zstd;q=0.1", json, "gzip vary")
	f("GET", "Accept-Encoding: *", json, "zstd vary")
	f("GET", "Accept-Encoding: *, zstd;q=0", json, "br vary")
	f("GET", "Accept-Encoding: x-gzip", json, "gzip vary")
	f("GET", "Accept-Encoding: identity;q=0, gzip;q=0.1", json+"|tiny", "gzip vary")
	f("GET", "Accept-Encoding: gzip", "404 Not Found|Content-Type: text/html; charset=utf-8", "gzip vary")
	f("GET", "Accept-Encoding: gzip", "200 OK|Content-Type: Application/Problem+JSON", "gzip vary")
	f("GET", "Accept-Encoding: gzip", json+"|Content-Encoding: identity", "gzip vary")
	f("GET", "Accept-Encoding: gzip", json+`|ETag: "v1"|Accept-Ranges: bytes|Vary: Origin`, "gzip vary weak")
	f("GET", "Accept-Encoding: gzip", json+`|ETag: W/"v1"|Vary: accept-encoding`, "gzip vary weak")
	f("GET", "Accept-Encoding: gzip",
		json+"|Repr-Digest: sha-256=:AA==:|Content-Digest: sha-256=:AA==:|Digest: x|Content-MD5: x", "gzip vary")
	f("GET", "Accept-Encoding: gzip|Cookie: a=b|Sec-Fetch-Site: same-origin", json, "gzip vary")
	f("GET", "Accept-Encoding: gzip|Sec-Fetch-Site: cross-site", json, "gzip vary")
	f("HEAD", "Accept-Encoding: gzip", json+`|ETag: "v1"`, "gzip vary weak")
	f("HEAD", "Accept-Encoding: gzip", json+"|tiny", "")

	// As it is, for this client.
	f("GET", "X-None: x", json+`|ETag: "v1"`, "vary")
	f("GET", "Accept-Encoding:", json, "vary")
	f("GET", "Accept-Encoding: deflate", json, "vary")
	f("GET", "Accept-Encoding: gzip;q=0", json, "vary")
	f("GET", "Accept-Encoding: gzip;q=0.5, identity", json, "vary")
	f("GET", "Accept-Encoding: gzip|Range: bytes=0-1", json, "vary")
	f("GET", "Accept-Encoding: gzip|Cache-Control: no-transform", json, "vary")
	f("GET", "Accept-Encoding: gzip|Cookie: a=b|Sec-Fetch-Site: cross-site", json, "vary")
	f("GET", "Accept-Encoding: gzip", "304 Not Modified|Content-Type: text/plain", "vary")
	f("GET", "Accept-Encoding: gzip", "304 Not Modified|X-No: type", "vary")

	// As it is, for everybody.
	f("GET", "Accept-Encoding: gzip", json+"|tiny", "")
	f("GET", "Accept-Encoding: gzip", "200 OK|Content-Type: image/png", "")
	f("GET", "Accept-Encoding: gzip", "200 OK|X-No: type", "")
	f("GET", "Accept-Encoding: gzip", "200 OK|Content-Type: application/grpc+json", "")
	f("GET", "Accept-Encoding: gzip", json+`|Cache-Control: max-age=1, No-Transform|ETag: "v1"`, "")
	f("GET", "Accept-Encoding: gzip", json+"|Set-Cookie: a=b", "")
	f("GET", "Accept-Encoding: gzip", "206 Partial Content|Content-Type: text/plain|Content-Range: bytes 0-1/9999", "")
	f("GET", "Accept-Encoding: gzip", "204 No Content|Content-Type: text/plain", "")
	f("GET", "Accept-Encoding: gzip", "304 Not Modified|Content-Type: image/png", "")
	f("GET", "Accept-Encoding: gzip", json+`|Cache-Control: x="no-transform"`, "gzip vary")
}

// TestCompressPassesCoded: what the server has encoded goes on as it is, octet for octet.
func TestCompressPassesCoded(t *testing.T) {
	o := newHTTPOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Content-Encoding", "br")
		w.Header().Set("ETag", `"v1"`)
		io.WriteString(w, long)
	})
	r := newRig(t, compressed, o.addr)
	c := r.dial()
	c.send("GET / HTTP/1.1\r\nHost: www.example.com\r\nAccept-Encoding: gzip, br\r\n\r\n")
	res, body, err := c.response("GET")
	if err != nil || body != long || res.Header.Get("Content-Encoding") != "br" || res.Header.Get("ETag") != `"v1"` {
		t.Errorf("got %v %v, %d octets", err, res.Header, len(body))
	}
}

// TestCompressRestoresTags: a tag that Weir made weak comes back to the server as the
// server made it, and the answer to it is about what the client has.
func TestCompressRestoresTags(t *testing.T) {
	heads := make(chan string, 1)
	o := newOrigin(t, func(c *net.TCPConn, br *bufio.Reader) {
		for {
			head, err := readHead(br)
			if err != nil {
				return
			}
			heads <- head
			switch {
			case strings.Contains(head, "\r\nIf-None-Match: "):
				io.WriteString(c, "HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\n\r\n")
			case strings.Contains(head, "GET /weak "):
				fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: text/css\r\nETag: W/\"v1\"\r\nContent-Length: %d\r\n\r\n%s", len(long), long)
			default:
				fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: text/css\r\nETag: \"v1\"\r\nContent-Length: %d\r\n\r\n%s", len(long), long)
			}
		}
	})
	r := newRig(t, compressed, o.addr)
	c := r.dial()
	ask := func(method, path, field, wantSent, wantTag, wantVary string) {
		t.Helper()
		c.send("%s %s HTTP/1.1\r\nHost: www.example.com\r\nAccept-Encoding: gzip\r\n%s\r\n\r\n", method, path, field)
		res, _, err := c.response("GET")
		if err != nil {
			t.Fatal(err)
		}
		if head := <-heads; !strings.Contains(head, "\r\n"+wantSent+"\r\n") {
			t.Errorf("%s: the server got %q, want %s", field, head, wantSent)
		}
		if got := res.Header.Get("ETag"); got != wantTag {
			t.Errorf("%s: got tag %s, want %s", field, got, wantTag)
		}
		if got := res.Header.Get("Vary"); got != wantVary {
			t.Errorf("%s: got Vary %q, want %q", field, got, wantVary)
		}
	}
	const vary = "Accept-Encoding"
	ask("GET", "/", `If-None-Match: W/"v1"`, `If-None-Match: W/"v1"`, `W/"v1"`, vary) // not known
	ask("GET", "/", "X-A: b", "X-A: b", `W/"v1"`, vary)
	ask("GET", "/", `If-None-Match: W/"v1"`, `If-None-Match: "v1"`, `W/"v1"`, vary)
	ask("GET", "/", `If-None-Match: "a,b", W/"v2",W/"v1" , "c"`, `If-None-Match: "a,b", W/"v2","v1" , "c"`, `W/"v1"`, vary)
	ask("GET", "/", `If-None-Match: "v1"`, `If-None-Match: "v1"`, `"v1"`, vary)
	ask("PUT", "/", `If-Match: W/"v1"`, `If-Match: "v1"`, `W/"v1"`, vary)
	ask("GET", "/", `If-Range: W/"v1"`, `If-Range: W/"v1"`, `W/"v1"`, vary)
	ask("GET", "/", `If-None-Match: *`, `If-None-Match: *`, `"v1"`, vary)
	ask("GET", "/", `If-None-Match: W/"v1`, `If-None-Match: W/"v1`, `"v1"`, vary)
}

// TestCompressStreams: what a server has sent reaches the client before it sends more,
// in every coding, and trailers come behind it.
func TestCompressStreams(t *testing.T) {
	t.Parallel()
	for _, coding := range []string{"gzip", "br", "zstd"} {
		more := make(chan struct{})
		o := newHTTPOrigin(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			w.Header().Set("Trailer", "X-Sum, Content-Digest, Etag")
			for i := range 3 {
				fmt.Fprintf(w, "data: event %d\n\n", i)
				w.(http.Flusher).Flush()
				<-more
			}
			w.Header().Set("X-Sum", "3")
			w.Header().Set("Content-Digest", "sha-256=:AA==:")
			w.Header().Set("ETag", `"v1"`)
		})
		r := newRig(t, compressed, o.addr)
		c := r.dial()
		c.send("GET / HTTP/1.1\r\nHost: www.example.com\r\nAccept-Encoding: %s\r\n\r\n", coding)
		res, err := http.ReadResponse(c.br, &http.Request{Method: "GET"})
		if err != nil {
			t.Fatal(err)
		}
		if got := res.Header.Get("Content-Encoding"); got != coding {
			t.Fatalf("got coding %q, want %s", got, coding)
		}
		var lines *bufio.Reader
		switch coding {
		case "gzip":
			z, err := gzip.NewReader(res.Body)
			if err != nil {
				t.Fatal(err)
			}
			lines = bufio.NewReader(z)
		case "br":
			lines = bufio.NewReader(brotli.NewReader(res.Body))
		case "zstd":
			z, err := zstd.NewReader(res.Body, zstd.WithDecoderConcurrency(1))
			if err != nil {
				t.Fatal(err)
			}
			defer z.Close()
			lines = bufio.NewReader(z)
		}
		for i := range 3 {
			line, err := lines.ReadString('\n')
			if want := fmt.Sprintf("data: event %d\n", i); line != want || err != nil {
				t.Fatalf("%s: got %q %v, want %q", coding, line, err, want)
			}
			lines.ReadString('\n')
			more <- struct{}{}
		}
		if _, err := io.ReadAll(lines); err != nil {
			t.Fatalf("%s: the end: %v", coding, err)
		}
		io.Copy(io.Discard, res.Body)
		if res.Trailer.Get("X-Sum") != "3" || res.Trailer.Get("Content-Digest")+res.Trailer.Get("ETag") != "" {
			t.Errorf("%s: got trailers %v", coding, res.Trailer)
		}
	}
}

// TestCompressTruncated: a response that breaks off is never made a whole stream.
func TestCompressTruncated(t *testing.T) {
	for _, framing := range []string{"Content-Length: 100000", "Transfer-Encoding: chunked"} {
		o := newOrigin(t, func(c *net.TCPConn, br *bufio.Reader) {
			readHead(br)
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n%s\r\n\r\n", framing)
			if strings.HasPrefix(framing, "T") {
				fmt.Fprintf(c, "%x\r\n", len(long))
			}
			io.WriteString(c, long)
		})
		r := newRig(t, compressed, o.addr)
		for _, coding := range []string{"gzip", "br", "zstd"} {
			c := r.dial()
			c.send("GET / HTTP/1.1\r\nHost: www.example.com\r\nAccept-Encoding: %s\r\n\r\n", coding)
			res, body, err := c.response("GET")
			if err == nil {
				t.Errorf("%s %s: the body looks complete", coding, framing)
			}
			if res.Header.Get("Content-Encoding") != coding {
				t.Errorf("%s %s: got %v", coding, framing, res.Header)
			}
			if b, err := decode(coding, strings.NewReader(body)); err == nil && len(body) > 0 {
				t.Errorf("%s %s: the stream looks complete, of %d octets", coding, framing, len(b))
			}
		}
		eventually(t, "the encoders to be given back", func() bool { return r.server.encoders.Used() == 0 })
	}
}

// TestCompressSlowReader: a client that does not read stops the server, and what it has
// occupied is given back when it leaves.
func TestCompressSlowReader(t *testing.T) {
	t.Parallel()
	var sent atomic.Int64
	o := newHTTPOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		rnd := rand.New(rand.NewPCG(1, 1))
		p := make([]byte, 64<<10)
		for range 1600 { // 100 MiB that cannot be made shorter
			for i := range p {
				p[i] = byte(rnd.Uint32())
			}
			n, err := w.Write(p)
			sent.Add(int64(n))
			if err != nil {
				return
			}
		}
	})
	r := newRig(t, compressed, o.addr)
	for _, coding := range []string{"gzip", "br", "zstd"} {
		sent.Store(0)
		c := r.dial()
		c.send("GET / HTTP/1.1\r\nHost: www.example.com\r\nAccept-Encoding: %s\r\n\r\n", coding)
		last := int64(-1)
		eventually(t, "the server to be stopped", func() bool {
			time.Sleep(200 * time.Millisecond)
			now := sent.Load()
			stopped := now > 0 && now == last
			last = now
			return stopped
		})
		if last > 50<<20 {
			t.Errorf("%s: %d octets went to a client that does not read", coding, last)
		}
		eventually(t, "an encoder to be at work", func() bool { return r.server.encoders.Used() > 0 })
		c.Close()
		eventually(t, "the encoder to be given back", func() bool { return r.server.encoders.Used() == 0 })
	}
}

// TestCompressAnyPieces sends bodies in random pieces with pauses; what is decoded is
// what was sent.
func TestCompressAnyPieces(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(3, 4))
	var sent []byte
	cuts := make(chan []int, 1)
	o := newHTTPOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		at := 0
		for _, cut := range <-cuts {
			w.Write(sent[at:cut])
			at = cut
			w.(http.Flusher).Flush()
			if cut%7 == 0 {
				time.Sleep(2 * pause)
			}
		}
		w.Write(sent[at:])
	})
	r := newRig(t, compressed, o.addr)
	c := r.dial()
	for _, coding := range []string{"gzip", "br", "zstd"} {
		for range 8 {
			sent = make([]byte, rnd.IntN(400_000))
			for i := range sent {
				sent[i] = byte('a' + rnd.IntN(1+rnd.IntN(20)))
			}
			var list []int
			for at := 0; len(list) < 12; {
				if at += 1 + rnd.IntN(1+len(sent)/6); at >= len(sent) {
					break
				}
				list = append(list, at)
			}
			cuts <- list
			c.send("GET / HTTP/1.1\r\nHost: www.example.com\r\nAccept-Encoding: %s\r\n\r\n", coding)
			res, body, err := c.response("GET")
			if err != nil {
				t.Fatal(err)
			}
			got, err := decode(res.Header.Get("Content-Encoding"), strings.NewReader(body))
			if err != nil || !bytes.Equal(got, sent) {
				t.Fatalf("%s: %d octets in pieces up to %v: got %d octets, %v", coding, len(sent), list, len(got), err)
			}
		}
	}
}

// TestCompressWithoutMemory: where no encoder can be had, responses go as they are.
func TestCompressWithoutMemory(t *testing.T) {
	o := newHTTPOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("ETag", `"v1"`)
		w.Header().Set("Content-Length", fmt.Sprint(len(long)))
		io.WriteString(w, long)
	})
	r := newRig(t, "[compress]\nmemory = \"0B\"\n"+compressed, o.addr)
	c := r.dial()
	c.send("GET / HTTP/1.1\r\nHost: www.example.com\r\nAccept-Encoding: gzip\r\n\r\n")
	res, body, err := c.response("GET")
	if err != nil || body != long || res.Header.Get("Content-Encoding") != "" || res.Header.Get("Vary") == "" ||
		res.Header.Get("ETag") != `"v1"` || res.ContentLength != int64(len(long)) {
		t.Errorf("got %v %v, %d octets", err, res.Header, len(body))
	}
	eventually(t, "the count", func() bool {
		return r.metrics.Counter(metric.L7CompressSkipped, "web", "memory").Load() == 1
	})
}

// TestCompressUnderLoad: levels fall while the CPU is used up, and come back.
func TestCompressUnderLoad(t *testing.T) {
	var body strings.Builder
	rnd := rand.New(rand.NewPCG(1, 1))
	for body.Len() < 100_000 {
		fmt.Fprintf(&body, "%d %s,", rnd.IntN(10_000), long[rnd.IntN(50):][:20])
	}
	o := newHTTPOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		io.WriteString(w, body.String())
	})
	r := newRig(t, plain+"compress = { gzip_level = 9 }\n", o.addr)
	c := r.dial()
	size := func() int {
		c.send("GET / HTTP/1.1\r\nHost: www.example.com\r\nAccept-Encoding: gzip\r\n\r\n")
		_, got, err := c.response("GET")
		if err != nil {
			t.Fatal(err)
		}
		return len(got)
	}
	// The sweeper tells the truth meanwhile; this speaks louder.
	g := &r.server.governor
	tell := func(percent int) {
		for range 100 {
			g.Observe(percent)
		}
	}
	r.server.sweeper.stop()
	tell(0)
	best := size()
	tell(100)
	fast := size()
	tell(0)
	// A pause in the middle costs some octets.
	if again := size(); fast <= best || again-best > (fast-best)/2 {
		t.Errorf("got %d octets at ease, %d under load, %d afterwards", best, fast, again)
	}
}

// TestCompressAsksServer: what servers get to know of the client's codings.
func TestCompressAsksServer(t *testing.T) {
	o, heads := seen(t, "HTTP/1.1 204 No Content\r\n\r\n")
	f := func(config, want string) {
		t.Helper()
		r := newRig(t, plain+config, o.addr)
		c := r.dial()
		c.send("GET / HTTP/1.1\r\nHost: www.example.com\r\nAccept-Encoding: gzip;q=0.7\r\n\r\n")
		c.response("GET")
		head := <-heads
		if !strings.Contains(head, "\r\nAccept-Encoding: "+want+"\r\n") || strings.Count(head, "Accept-Encoding") != 1 {
			t.Errorf("got %q, want %q", head, want)
		}
	}
	f("compress = true\n", "gzip;q=0.7")
	f("compress = { accept_encoding = \"identity\" }\n", "identity")
	f("", "gzip;q=0.7")
}

// TestCompressAllocatesNothing: encoders and buffers are used again.
func TestCompressAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // it would take idle encoders away
	o := cannedOrigin(t, fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nETag: \"v1\"\r\n"+
		"Content-Length: %d\r\n\r\n%s", len(long), long))
	r := newRig(t, compressed, o.addr)
	for _, coding := range []string{"gzip", "br", "zstd"} {
		c := r.dial()
		request := []byte("GET / HTTP/1.1\r\nHost: www.example.com\r\nAccept-Encoding: " + coding + "\r\n\r\n")
		buf := make([]byte, 64<<10)
		run := func(n int) {
			for range n {
				if _, err := c.Write(request); err != nil {
					t.Fatal(err)
				}
				for got := 0; !bytes.HasSuffix(buf[:got], []byte("\r\n0\r\n\r\n")); {
					n, err := c.Read(buf[got:])
					if err != nil {
						t.Fatal(err)
					}
					got += n
				}
			}
		}
		run(100)
		const exchanges = 500
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		run(exchanges)
		runtime.ReadMemStats(&after)
		// A processor that had no encoder yet makes one, of some 30 pieces.
		if n := after.Mallocs - before.Mallocs; n > exchanges/4 {
			t.Errorf("%s: %d allocations in %d exchanges", coding, n, exchanges)
		}
	}
}

// TestCompressStored: what is stored is encoded once for each coding, and its encoded form
// leaves the store with it.
func TestCompressStored(t *testing.T) {
	var asked atomic.Int64
	o := newHTTPOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "max-age=600")
		w.Header().Set("ETag", `"v1"`)
		fmt.Fprintf(w, "%d%s", asked.Load(), long)
	})
	r := newRig(t, compressed+"cache = { purge = [\"127.0.0.0/8\"] }\n", o.addr)
	c := r.dial()
	f := func(method, coding, more string, wantStatus int, wantBody string, wantLength bool) {
		t.Helper()
		c.send("%s / HTTP/1.1\r\nHost: www.example.com\r\nAccept-Encoding: %s\r\n%s\r\n", method, coding, more)
		res, body, err := c.response(method)
		if err != nil || res.StatusCode != wantStatus {
			t.Fatalf("%s %s: %v %v", coding, more, res.Status, err)
		}
		if method != "GET" {
			return
		}
		got, err := decode(res.Header.Get("Content-Encoding"), strings.NewReader(body))
		if wantStatus == 200 && (err != nil || res.Header.Get("Content-Encoding") != coding && coding != "identity") ||
			string(got) != wantBody || wantLength != (res.ContentLength >= 0) {
			t.Errorf("%s %s: got %v, %d octets, length %d: %v", coding, more, err, len(got), res.ContentLength, res.Header)
		}
		if tag := res.Header.Get("ETag"); strings.HasPrefix(tag, "W/") != (coding != "identity" || wantStatus == 304) {
			t.Errorf("%s %s: got tag %s", coding, more, tag)
		}
		if res.Header.Get("Vary") != "Accept-Encoding" && wantStatus != 206 {
			t.Errorf("%s %s: got Vary %q", coding, more, res.Header.Get("Vary"))
		}
	}
	// Its client may have a response a moment before it is stored.
	stored := func() {
		t.Helper()
		eventually(t, "the response to be stored", func() bool { s := r.stats(); return s.Stored == s.Fills })
	}
	first, second := "1"+long, "2"+long
	f("GET", "gzip", "", 200, first, false) // from the server
	stored()
	for _, coding := range []string{"gzip", "br", "zstd"} {
		f("GET", coding, "", 200, first, false) // encoded for the first time
		f("GET", coding, "", 200, first, true)  // as it is stored
		f("GET", coding, "", 200, first, true)
	}
	f("GET", "identity", "", 200, first, true)
	f("HEAD", "gzip", "", 200, "", false)
	f("GET", "gzip", "If-None-Match: W/\"v1\"\r\n", 304, "", true)
	f("GET", "identity", "Range: bytes=0-3\r\n", 206, first[:4], true)
	out, in := r.metrics.Counter(metric.L7CompressOutBytes, "web", "gzip"), r.metrics.Counter(metric.L7CompressInBytes, "web", "gzip")
	if n := r.metrics.Counter(metric.L7CompressedResponses, "web", "gzip").Load(); n != 4 ||
		in.Load() != 4*uint64(len(first)) || out.Load() == 0 || out.Load() > in.Load()/2 {
		t.Errorf("%d responses, %d octets became %d", n, in.Load(), out.Load())
	}
	f("PURGE", "identity", "", 200, "", true)
	f("GET", "gzip", "", 200, second, false)
	stored()
	f("GET", "gzip", "", 200, second, false)
	f("GET", "gzip", "", 200, second, true)
	if n := asked.Load(); n != 2 {
		t.Errorf("the server was asked %d times, want twice", n)
	}
}

// TestCompressStoredAtOnce: many clients at the same time, in different codings.
func TestCompressStoredAtOnce(t *testing.T) {
	t.Parallel()
	o := newHTTPOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "max-age=600")
		io.WriteString(w, r.URL.Path+long)
	})
	r := newRig(t, compressed+"cache = true\n", o.addr)
	codings := []string{"gzip", "br", "zstd", "identity"}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			c := r.dial()
			for j := range 60 {
				path, coding := fmt.Sprintf("/%d", j%5), codings[(i+j)%len(codings)]
				c.send("GET %s HTTP/1.1\r\nHost: www.example.com\r\nAccept-Encoding: %s\r\n\r\n", path, coding)
				res, err := http.ReadResponse(c.br, nil)
				if err != nil {
					t.Error(err)
					return
				}
				body, _ := io.ReadAll(res.Body)
				got, err := decode(res.Header.Get("Content-Encoding"), bytes.NewReader(body))
				if err != nil || string(got) != path+long {
					t.Errorf("%s %s: %d octets, %v", path, coding, len(got), err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// TestCompressDictionary: a response becomes a dictionary for the next version of it.
func TestCompressDictionary(t *testing.T) {
	var version atomic.Int64
	o := newHTTPOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/javascript")
		w.Header().Set("Cache-Control", "max-age=600")
		rnd := rand.New(rand.NewPCG(1, 1))
		for range 2000 {
			fmt.Fprintf(w, "f(%d);", rnd.Uint32())
		}
		fmt.Fprintf(w, "v%d();", version.Load())
	})
	r := newRig(t, plain+"compress = { dictionary = \"/app-*.js\" }\n", o.addr)
	c := r.dial()
	ask := func(path, fields string) (*http.Response, string) {
		t.Helper()
		c.send("GET %s HTTP/1.1\r\nHost: www.example.com\r\n%s\r\n", path, fields)
		res, body, err := c.response("GET")
		if err != nil {
			t.Fatal(err)
		}
		return res, body
	}
	const accept = "Accept-Encoding: gzip, zstd, dcz\r\n"
	res, body := ask("/app-1.js", accept)
	if res.Header.Get("Use-As-Dictionary") != `match="/app-*.js"` || res.Header.Get("Content-Encoding") != "zstd" ||
		strings.Join(res.Header.Values("Vary"), ", ") != "Accept-Encoding, Available-Dictionary" {
		t.Errorf("got %v", res.Header)
	}
	first, err := decode("zstd", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.Sum256(first)
	have := fmt.Sprintf("Available-Dictionary: :%s:\r\n", base64.StdEncoding.EncodeToString(hash[:]))
	version.Store(2)
	res, body = ask("/app-2.js", accept+have)
	if res.Header.Get("Content-Encoding") != "dcz" || len(body) > 1000 {
		t.Fatalf("got %v, %d octets", res.Header, len(body))
	}
	z, err := zstd.NewReader(strings.NewReader(body[40:]), zstd.WithDecoderDictRaw(0, first))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	got, err := io.ReadAll(z)
	if want := strings.Replace(string(first), "v0()", "v2()", 1); err != nil || string(got) != want {
		t.Errorf("got %d octets, %v", len(got), err)
	}
	for _, other := range []string{
		"Accept-Encoding: gzip, zstd\r\n" + have, // does not know dcz
		accept + "Available-Dictionary: :AAAA:\r\n",
		accept + have + "Sec-Fetch-Site: cross-site\r\n",
	} {
		if res, _ := ask("/app-3.js", other); res.Header.Get("Content-Encoding") != "zstd" {
			t.Errorf("%q: got %v", other, res.Header)
		}
	}
	if res, _ := ask("/other.js", accept); res.Header.Get("Use-As-Dictionary") != "" {
		t.Errorf("a path that does not match: got %v", res.Header)
	}
	eventually(t, "all to be given back", func() bool { return r.server.encoders.Used() == 0 })
}
