package l7

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"mime/multipart"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// site makes a directory of files and a rig that serves it.
func site(t testing.TB, keys string, files map[string]string) (*rig, string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return newRig(t, oneRoute(strings.ReplaceAll(keys, "DIR", dir)), "127.0.0.1:1"), dir
}

func TestFiles(t *testing.T) {
	r, _ := site(t, `path = "/s/"
		rewrite_path = "/{rest}"
		files = { root = "DIR", precompressed = ["br"] }
		response_headers = { set = { Cache-Control = "max-age=60" } }`,
		map[string]string{"index.html": "<p>", "a b.css": "css", "a b.css.br": "by br", "sub/index.html": "sub", ".env": "x"})
	c := r.dial()
	f := func(path, fields string, status int, want string) {
		t.Helper()
		c.send("GET %s HTTP/1.1\r\nHost: a\r\n%s\r\n", path, fields)
		res, body, err := c.response("GET")
		if err != nil || res.StatusCode != status || status == 200 && body != want ||
			status == 308 && res.Header.Get("Location") != want {
			t.Errorf("%s: got %d %q %q %v, want %d %q", path, res.StatusCode, body, res.Header.Get("Location"), err, status, want)
		}
		if res.Close {
			t.Errorf("%s: the connection was closed", path)
		}
	}
	f("/s/", "", 200, "<p>")
	f("/s", "", 308, "/s/") // or relative links of the index would lead elsewhere
	f("/s/index.html", "", 200, "<p>")
	f("/s/a%20b.css", "", 200, "css")
	f("/s/a%20b.css", "Accept-Encoding: br\r\n", 200, "by br")
	f("/s/sub/", "", 200, "sub")
	f("/s/sub?a=b", "", 308, "/s/sub/?a=b")
	f("/s/nothing", "", 404, "")
	f("/s/.env", "", 404, "")
	f("/s//index.html", "", 404, "")

	c.send("GET /s/a%%20b.css HTTP/1.1\r\nHost: a\r\nAccept-Encoding: br\r\n\r\n")
	res, _, _ := c.response("GET")
	for name, want := range map[string]string{
		"Content-Type": "text/css; charset=utf-8", "Content-Encoding": "br", "Vary": "Accept-Encoding",
		"Cache-Control": "max-age=60", "Accept-Ranges": "bytes", "Content-Length": "5",
	} {
		if got := res.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	tag, modified := res.Header.Get("Etag"), res.Header.Get("Last-Modified")
	f("/s/a%20b.css", "Accept-Encoding: br\r\nIf-None-Match: "+tag+"\r\n", 304, "")
	f("/s/a%20b.css", "If-None-Match: "+tag+"\r\n", 200, "css") // another form
	f("/s/a%20b.css", "If-Modified-Since: "+modified+"\r\n", 304, "")
	f("/s/a%20b.css", "If-Match: \"x\"\r\n", 412, "")

	c.send("HEAD /s/ HTTP/1.1\r\nHost: a\r\nRange: bytes=0-0\r\n\r\n")
	if res, body, _ := c.response("HEAD"); res.StatusCode != 200 || res.ContentLength != 3 || body != "" {
		t.Errorf("HEAD: got %d, length %d, %q", res.StatusCode, res.ContentLength, body)
	}
	c.send("POST /s/ HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx")
	if res, _, _ := c.response("POST"); res.StatusCode != 405 || res.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: got %d, Allow %q", res.StatusCode, res.Header.Get("Allow"))
	}
}

// TestFilesSlash: the redirect to a directory never leads to another host.
func TestFilesSlash(t *testing.T) {
	r, _ := site(t, `path = '~^/+(?P<x>[^/]+)'
		rewrite_path = "/sub"
		files = { root = "DIR" }`, map[string]string{"sub/index.html": "sub"})
	res, _ := r.dial().get("//evil.example.com")
	if got := res.Header.Get("Location"); res.StatusCode != 308 || got != "/evil.example.com/" {
		t.Errorf("got %d %q, want one slash at the beginning", res.StatusCode, got)
	}
	if res, _ = r.dial().get("/x/"); res.StatusCode != 404 {
		t.Errorf("a slash that is there already: got %d, want 404 and no circle", res.StatusCode)
	}
}

func TestFilesFallback(t *testing.T) {
	r, _ := site(t, `files = { root = "DIR", fallback = "/app.html" }`, map[string]string{"app.html": "app", "a.js": "js"})
	c := r.dial()
	for path, want := range map[string]string{"/": "app", "/users/7": "app", "/a.js": "js", "/x/": "app"} {
		if res, body := c.get(path); res.StatusCode != 200 || body != want {
			t.Errorf("%s: got %d %q, want %q", path, res.StatusCode, body, want)
		}
	}
}

// pattern is text that differs at every place.
func pattern(n int) string {
	rnd := rand.New(rand.NewPCG(7, 7))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rnd.Uint32())
	}
	return string(b)
}

// TestFilesRanges compares ranges of a file that is sent by sendfile with the file.
func TestFilesRanges(t *testing.T) {
	t.Parallel()
	text := pattern(3_000_000)
	r, _ := site(t, `files = { root = "DIR" }`, map[string]string{"big": text, "small": "0123456789"})
	c := r.dial()
	get := func(path, ranges string) (int, string, string) {
		t.Helper()
		c.send("GET %s HTTP/1.1\r\nHost: a\r\nRange: %s\r\n\r\n", path, ranges)
		res, body, err := c.response("GET")
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, res.Header.Get("Content-Range") + res.Header.Get("Content-Type"), body
	}
	if _, body := c.get("/big"); body != text {
		t.Fatal("the whole file differs")
	}
	for _, at := range [][2]int{{0, 1}, {1, 2_999_999}, {1_000_000, 2_500_000}, {16383, 16384 * 2}, {2_999_999, 3_000_000}} {
		status, described, body := get("/big", fmt.Sprintf("bytes=%d-%d", at[0], at[1]-1))
		if want := fmt.Sprintf("bytes %d-%d/3000000", at[0], at[1]-1); status != 206 || !strings.HasPrefix(described, want) ||
			body != text[at[0]:at[1]] {
			t.Errorf("%v: got %d %s with %d octets", at, status, described, len(body))
		}
	}
	if status, described, body := get("/small", "bytes=20-"); status != 416 || described != "bytes */10" || body != "" {
		t.Errorf("beyond the end: got %d %s %q", status, described, body)
	}
	status, typ, body := get("/big", "bytes=5-9,2000000-2100000,-3")
	_, params, err := mime.ParseMediaType(typ)
	if status != 206 || err != nil {
		t.Fatalf("several ranges: got %d %q", status, typ)
	}
	parts := multipart.NewReader(strings.NewReader(body), params["boundary"])
	for _, at := range [][2]int{{5, 10}, {2_000_000, 2_100_001}, {2_999_997, 3_000_000}} {
		p, err := parts.NextPart()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(p)
		if err != nil || !bytes.Equal(b, []byte(text[at[0]:at[1]])) {
			t.Errorf("part %v differs: %d octets, %v", at, len(b), err)
		}
		if got, want := p.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-%d/3000000", at[0], at[1]-1); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if _, err := parts.NextPart(); err != io.EOF {
		t.Errorf("after the last part: %v", err)
	}
}

// TestFilesTyped: a route that sets the type of its files cannot describe several ranges
// of one, whose type is that of the parts' envelope, and sends the whole.
func TestFilesTyped(t *testing.T) {
	r, _ := site(t, `files = { root = "DIR" }
		response_headers = { set = { Content-Type = "text/x-log" } }`, map[string]string{"a": "0123456789"})
	c := r.dial()
	f := func(ranges string, status int, want string) {
		t.Helper()
		c.send("GET /a HTTP/1.1\r\nHost: a\r\nRange: bytes=%s\r\n\r\n", ranges)
		res, body, err := c.response("GET")
		if err != nil || res.StatusCode != status || body != want {
			t.Errorf("%s: got %d %q %v, want %d %q", ranges, res.StatusCode, body, err, status, want)
		}
		if got := res.Header.Values("Content-Type"); len(got) != 1 || got[0] != "text/x-log" {
			t.Errorf("%s: got the types %q", ranges, got)
		}
	}
	f("1-2", 206, "12")
	f("1-2,4-5", 200, "0123456789")
}

// TestFilesCut: a file that becomes shorter while it is sent breaks the response off.
func TestFilesCut(t *testing.T) {
	t.Parallel()
	r, dir := site(t, `files = { root = "DIR" }`, map[string]string{"big": strings.Repeat("x", 64<<20)})
	c := r.dial()
	c.send("GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
	if _, err := c.br.Peek(1); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(dir, "big"), 1<<20); err != nil {
		t.Fatal(err)
	}
	if _, body, err := c.response("GET"); err == nil {
		t.Errorf("got a whole response of %d octets", len(body))
	}
	eventually(t, "the line of the log", func() bool { return strings.Contains(r.log.String(), "cannot send file") })
}
