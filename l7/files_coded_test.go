package l7

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"weir/l7/static"
	"weir/pool/metric"
)

// ageFiles waits until files that were just written may be kept in memory.
func ageFiles() { time.Sleep(150 * time.Millisecond) }

// TestFilesEncoded: files without a precompressed form are encoded, short ones once.
func TestFilesEncoded(t *testing.T) {
	big := strings.Repeat(long, 60)
	r, _ := site(t, `files = { root = "DIR", precompressed = ["br"] }
		compress = true`, map[string]string{
		"a.json": long, "b.css": long, "b.css.br": "by br", "big.json": big, "p.png": long, "tiny.css": "tiny",
	})
	ageFiles()
	c := r.dial()
	ask := func(method, path, fields string) (*http.Response, string) {
		t.Helper()
		c.send("%s %s HTTP/1.1\r\nHost: a\r\n%s\r\n", method, path, fields)
		res, body, err := c.response(method)
		if err != nil {
			t.Fatal(err)
		}
		return res, body
	}
	// want: status, coding, and which of vary, weak, ranges and length hold.
	f := func(path, fields, want, wantBody string) *http.Response {
		t.Helper()
		var res *http.Response
		for _, method := range []string{"GET", "HEAD", "GET"} {
			if method == "HEAD" && strings.HasPrefix(want, "206") {
				continue // there is none
			}
			var body string
			res, body = ask(method, path, fields)
			got := fmt.Sprint(res.StatusCode, " ", res.Header.Get("Content-Encoding"))
			if len(res.Header.Values("Vary")) == 1 && res.Header.Get("Vary") == "Accept-Encoding" {
				got += " vary"
			}
			if strings.HasPrefix(res.Header.Get("ETag"), "W/") {
				got += " weak"
			}
			if res.Header.Get("Accept-Ranges") != "" {
				got += " ranges"
			}
			if got != want {
				t.Errorf("%s %s %s: got %q, want %q: %v", method, path, fields, got, want, res.Header)
			}
			if method == "GET" {
				coding := res.Header.Get("Content-Encoding")
				if wantBody == "by br" {
					coding = ""
				}
				if b, err := decode(coding, strings.NewReader(body)); res.StatusCode != 304 && (err != nil || string(b) != wantBody) {
					t.Errorf("%s %s: got %d octets, %v", path, fields, len(b), err)
				}
			}
		}
		return res
	}
	const gzip = "Accept-Encoding: gzip\r\n"
	if res := f("/a.json", gzip, "200 gzip vary weak", long); res.ContentLength < 0 {
		t.Error("what is kept has no length")
	}
	f("/a.json", "Accept-Encoding: zstd\r\n", "200 zstd vary weak", long)
	f("/big.json", gzip, "200 gzip vary weak", big)
	f("/a.json", "", "200  vary ranges", long)
	f("/big.json", "", "200  vary ranges", big)
	f("/b.css", "Accept-Encoding: br, gzip\r\n", "200 br vary ranges", "by br")
	f("/b.css", gzip, "200 gzip vary weak", long)
	f("/tiny.css", gzip, "200  vary ranges", "tiny") // there may be a precompressed form
	f("/p.png", gzip, "200  vary ranges", long)
	f("/a.json", gzip+"Range: bytes=1-3\r\n", "206  vary ranges", long[1:4])
	f("/big.json", gzip+"Range: bytes=1-3\r\n", "206  vary ranges", big[1:4])

	res, _ := ask("GET", "/a.json", gzip)
	weak := res.Header.Get("ETag")
	f("/a.json", gzip+"If-None-Match: "+weak+"\r\n", "304  vary weak", "")
	f("/a.json", "If-None-Match: "+weak+"\r\n", "304  vary weak", "")
	f("/a.json", "If-None-Match: "+strings.TrimPrefix(weak, "W/")+"\r\n", "304  vary", "")
	f("/a.json", gzip+"Range: bytes=1-3\r\nIf-Range: "+weak+"\r\n", "200  vary ranges", long)
	if res, _ := ask("GET", "/a.json", "If-Match: "+weak+"\r\n"); res.StatusCode != 412 {
		t.Errorf("If-Match with a weak tag: got %d", res.StatusCode)
	}
	eventually(t, "all to be given back", func() bool { return r.server.encoders.Used() == 0 })
	in, out := r.metrics.Counter(metric.L7CompressInBytes, "web", "zstd"), r.metrics.Counter(metric.L7CompressOutBytes, "web", "zstd")
	if in.Load() != 2*uint64(len(long)) || out.Load() == 0 || out.Load() > in.Load()/4 {
		t.Errorf("%d octets became %d", in.Load(), out.Load())
	}
}

// TestFilesEncodedCut: a file that becomes shorter while it is encoded is no whole stream.
func TestFilesEncodedCut(t *testing.T) {
	r, dir := site(t, `files = { root = "DIR" }
		compress = true`, map[string]string{"big.txt": pattern(32 << 20)})
	c := r.dial()
	c.send("GET /big.txt HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n")
	if _, err := c.br.Peek(1); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(dir, "big.txt"), 1<<20); err != nil {
		t.Fatal(err)
	}
	res, body, err := c.response("GET")
	if b, e := decode("gzip", strings.NewReader(body)); err == nil || e == nil {
		t.Errorf("got a whole response of %d octets, %v", len(b), res.Header)
	}
	eventually(t, "the encoder to be given back", func() bool { return r.server.encoders.Used() == 0 })
}

// TestFilesWithoutMemory: where no encoder can be had, files go as they are.
func TestFilesWithoutMemory(t *testing.T) {
	r, dir := site(t, `files = { root = "DIR" }`, map[string]string{"a.css": long, "big.css": strings.Repeat(long, 60)})
	r.apply(fmt.Sprintf(oneRoute(`files = { root = "`+dir+`" }
		compress = true`), "127.0.0.1:1") + "[compress]\nmemory = \"0B\"\n")
	c := r.dial()
	for _, path := range []string{"/a.css", "/big.css"} {
		c.send("GET %s HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n", path)
		res, body, err := c.response("GET")
		if err != nil || res.Header.Get("Content-Encoding") != "" || int64(len(body)) != res.ContentLength ||
			strings.HasPrefix(res.Header.Get("ETag"), "W/") || res.Header.Get("Vary") == "" {
			t.Errorf("%s: got %v %v, %d octets", path, err, res.Header, len(body))
		}
	}
}

// TestRespondEncoded: a fixed response is encoded once for all.
func TestRespondEncoded(t *testing.T) {
	r := newRig(t, oneRoute(`respond = { body = '`+long+`', content_type = "application/json" }
		compress = true
		response_headers = { set = { X-A = "b" } }`), "127.0.0.1:1")
	c := r.dial()
	for _, coding := range []string{"gzip", "br", "zstd", ""} {
		for _, method := range []string{"GET", "HEAD"} {
			c.send("%s / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: %s\r\n\r\n", method, coding)
			res, body, err := c.response(method)
			if err != nil {
				t.Fatal(err)
			}
			if res.Header.Get("Content-Encoding") != coding || res.ContentLength < 0 || res.Header.Get("Vary") != "Accept-Encoding" {
				t.Errorf("%s %s: got %v", method, coding, res.Header)
			}
			if b, err := decode(coding, strings.NewReader(body)); method == "GET" && (err != nil || string(b) != long) {
				t.Errorf("%s: got %d octets, %v", coding, len(b), err)
			}
		}
	}
	f := func(keys string) {
		t.Helper()
		r := newRig(t, oneRoute(`respond = { body = '`+long+`', content_type = "application/json" }
			compress = true
			`+keys), "127.0.0.1:1")
		c := r.dial()
		c.send("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n")
		if res, body, err := c.response("GET"); err != nil || body != long || res.Header.Get("Content-Encoding") != "" {
			t.Errorf("%s: got %v %v", keys, err, res.Header)
		}
	}
	f(`response_headers = { set = { Cache-Control = "no-transform" } }`)
	f(`response_headers = { set = { Set-Cookie = "a=b" } }`)
	f(`response_headers = { set = { Content-Type = "image/png" } }`)
}

// TestFilesOnLane: what is kept is served without a goroutine, and a change is seen within
// a second.
func TestFilesOnLane(t *testing.T) {
	if *noLanes {
		return
	}
	r, dir := site(t, `files = { root = "DIR" }
		compress = true`, map[string]string{"a.css": long, "big": pattern(static.MaxKept + 1)})
	ageFiles()
	c := r.dial()
	get := func(path string) string {
		t.Helper()
		c.send("GET %s HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n", path)
		res, body, err := c.response("GET")
		if err != nil || res.StatusCode != 200 {
			t.Fatalf("%s: %v %v", path, res.Status, err)
		}
		b, err := decode(res.Header.Get("Content-Encoding"), strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	eventually(t, "the lane to serve the file", func() bool {
		for range 100 {
			if got := get("/a.css"); got != long {
				t.Fatalf("got %d octets", len(got))
			}
		}
		served, _ := r.lanes()
		return served > 200
	})
	if got := get("/big"); len(got) != static.MaxKept+1 {
		t.Errorf("got %d octets", len(got))
	}
	now := "now" + long
	if err := os.WriteFile(filepath.Join(dir, "a.new"), []byte(now), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "a.new"), filepath.Join(dir, "a.css")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the change to be seen", func() bool { return get("/a.css") == now })
	if err := os.Remove(filepath.Join(dir, "a.css")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the file to be gone", func() bool {
		c.send("GET /a.css HTTP/1.1\r\nHost: a\r\n\r\n")
		res, _, err := c.response("GET")
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode == 404
	})
}

// TestFilesInMemorySlow: a client that does not read for a while gets all that it asked
// for, though the lane cannot wait for it.
func TestFilesInMemorySlow(t *testing.T) {
	text := pattern(static.MaxKept)
	r, _ := site(t, `files = { root = "DIR" }`, map[string]string{"a": text})
	ageFiles()
	c := r.dial()
	c.get("/a") // it is kept then
	const many = 200
	for range many {
		c.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n")
	}
	time.Sleep(200 * time.Millisecond)
	for i := range many {
		if _, body, err := c.response("GET"); err != nil || body != text {
			t.Fatalf("answer %d: %d octets, %v", i, len(body), err)
		}
	}
}

// TestFilesAllocateNothing: a file that is kept costs no memory, encoded or not.
func TestFilesAllocateNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	r, _ := site(t, `files = { root = "DIR", precompressed = ["br"] }
		compress = true
		response_headers = { set = { Cache-Control = "max-age=60" } }`, map[string]string{"a.css": long, "long": pattern(60_000)})
	ageFiles()
	for _, what := range [][2]string{{"/a.css", "gzip"}, {"/a.css", "identity"}, {"/long", "identity"}} {
		if *noLanes && what[0] == "/long" {
			continue // sendfile by a goroutine takes closures
		}
		c := r.dial()
		c.get("/long")
		coding := what[1]
		request := []byte("GET " + what[0] + " HTTP/1.1\r\nHost: a\r\nAccept-Encoding: " + coding + "\r\n\r\n")
		c.Write(request)
		res, body, err := c.response("GET")
		if err != nil {
			t.Fatal(err)
		}
		last := []byte(body[len(body)-8:])
		if res.ContentLength < 0 {
			t.Fatalf("got %v", res.Header)
		}
		buf := make([]byte, 128<<10)
		run := func(n int) {
			for range n {
				if _, err := c.Write(request); err != nil {
					t.Fatal(err)
				}
				for got := 0; got < len(body) || !bytes.HasSuffix(buf[:got], last); {
					n, err := c.Read(buf[got:])
					if err != nil {
						t.Fatal(err)
					}
					got += n
				}
			}
		}
		run(100)
		const exchanges = 1000
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		run(exchanges)
		runtime.ReadMemStats(&after)
		if n := after.Mallocs - before.Mallocs; n > exchanges/4 { // it is compared twice in a second
			t.Errorf("%s: %d allocations in %d exchanges", coding, n, exchanges)
		}
	}
}
