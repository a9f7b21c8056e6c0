package e2e

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Origins that others wrote: the HTTP servers of Python, Node and nginx.

// startProgram runs a server that takes its port as the last argument.
func startProgram(t testing.TB, name string, args ...string) string {
	t.Helper()
	addr := freeAddr(t)
	_, port, _ := net.SplitHostPort(addr)
	startServer(t, func() bool { return accepts(addr) }, name, append(args, port)...)
	return addr
}

// foreignBody is the body that the programs of testdata send.
func foreignBody(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i % 251 * 7 % 251)
	}
	return b
}

// TestPythonServer: http.server of Python with keep-alive.
func TestPythonServer(t *testing.T) {
	t.Parallel()
	testForeign(t, startProgram(t, "python3", filepath.Join("testdata", "origin.py")))
}

// TestPythonAsyncio: a server on bare streams, which sends everything in small pieces.
func TestPythonAsyncio(t *testing.T) {
	t.Parallel()
	testForeign(t, startProgram(t, "python3", filepath.Join("testdata", "origin_asyncio.py")))
}

// TestNodeServer: the HTTP server of Node.
func TestNodeServer(t *testing.T) {
	t.Parallel()
	testForeign(t, startProgram(t, "node", filepath.Join("testdata", "origin.js")))
}

// testForeign sends all kinds of requests to an origin that speaks as testdata/origin.py
// describes, from several clients at a time.
func testForeign(t *testing.T, origin string) {
	t.Helper()
	addr := freeAddr(t)
	startWeir(t, pool("app", origin)+web(addr, "app"))
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			c, base := newClient(t), "http://"+addr
			for _, n := range []int{0, 1, 250, 4096, 70000, 1 << 20} {
				for _, kind := range []string{"bytes", "chunked", "close", "gzip"} {
					wantForeign(c, fmt.Sprintf("%s/%s/%d", base, kind, n), n)
				}
				wantEcho(c, base+"/echo", foreignBody(n))
			}
			want := ""
			for i := range 20 {
				want += fmt.Sprintf("data: %d\n\n", i)
			}
			c.wantBody(base+"/events/20", want)
		})
	}
	clients.Wait()
}

// wantForeign gets n bytes of foreignBody, as they are or compressed.
func wantForeign(c *client, url string, n int) {
	c.t.Helper()
	resp, err := c.Get(url)
	if err != nil {
		c.t.Error(err)
		return
	}
	defer resp.Body.Close()
	var body io.Reader = resp.Body
	if resp.Header.Get("Content-Encoding") == "gzip" {
		if body, err = gzip.NewReader(resp.Body); err != nil {
			c.t.Errorf("%s: %v", url, err)
			return
		}
	}
	got, err := io.ReadAll(body)
	if err != nil || resp.StatusCode != http.StatusOK || !bytes.Equal(got, foreignBody(n)) {
		c.t.Errorf("%s: status %d, %d bytes, %v", url, resp.StatusCode, len(got), err)
	}
	io.Copy(io.Discard, resp.Body) // to the end, for the trailers
	if want := fmt.Sprint(n); resp.Trailer != nil && resp.Trailer.Get("X-Size") != want {
		c.t.Errorf("%s: trailers %v, want X-Size %s", url, resp.Trailer, want)
	}
}

// wantEcho sends a body with its length, and in chunks.
func wantEcho(c *client, url string, body []byte) {
	c.t.Helper()
	for framing, r := range map[string]io.Reader{
		"length": bytes.NewReader(body), "chunked": io.MultiReader(bytes.NewReader(body)),
	} {
		resp, err := c.Post(url, "application/octet-stream", r)
		if err != nil {
			c.t.Error(err)
			continue
		}
		got, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || !bytes.Equal(got, body) {
			c.t.Errorf("%s, %s: %d of %d bytes came back, status %d, %v",
				url, framing, len(got), len(body), resp.StatusCode, err)
		}
	}
}

// TestPythonDirectory: python3 -m http.server as it is, which speaks HTTP/1.0 and closes.
func TestPythonDirectory(t *testing.T) {
	t.Parallel()
	dir, addr := t.TempDir(), freeAddr(t)
	if err := os.WriteFile(filepath.Join(dir, "file"), patternBytes(1<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	origin := startProgram(t, "python3", "-m", "http.server", "--bind", "127.0.0.1", "--directory", dir)
	startWeir(t, pool("app", origin)+web(addr, "app"))
	c := newClient(t)
	for range 10 {
		c.wantBytes("http://"+addr+"/file", 1<<20)
		c.wantStatus("http://"+addr+"/", http.StatusOK)
		c.wantStatus("http://"+addr+"/missing", http.StatusNotFound)
	}
	resp, err := c.Head("http://" + addr + "/file")
	if err != nil || resp.ContentLength != 1<<20 {
		t.Errorf("HEAD: %v, %v", resp, err)
	}
	resp, err = c.Post("http://"+addr+"/file", "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusNotImplemented {
		t.Errorf("POST: status %d", resp.StatusCode)
	}
}

// TestNginxFramings: what nginx sends in chunks, compressed, in ranges and not at all is
// what curl gets through Weir, to the octet.
func TestNginxFramings(t *testing.T) {
	t.Parallel()
	origin, addr := startNginx(t), freeAddr(t)
	startWeir(t, pool("app", origin)+web(addr, "app"))
	file := string(patternBytes(1 << 20))
	direct := curl(t, nil, "-H", "Accept-Encoding: gzip", "http://"+origin+"/text")
	f := func(path, want string, args ...string) {
		t.Helper()
		c := curl(t, nil, append(args, "http://"+addr+path)...)
		if c.code != 0 || c.body != want {
			t.Errorf("curl %v %s: exit code %d, status %d, %d bytes, want %d\n%s",
				args, path, c.code, c.status, len(c.body), len(want), c.errs)
		}
	}
	f("/chunked", file)
	f("/chunked", file, "--http1.0")
	f("/text", nginxText)
	f("/text", nginxText, "--compressed")
	f("/text", direct.body, "-H", "Accept-Encoding: gzip")
	f("/file", file[100:200], "-r", "100-199")
	f("/file", file[len(file)-5:], "-r", "-5")
	f("/file", file[1000:], "-C", "1000")
	f("/moved", "hello from nginx\n", "-L")

	etag := curl(t, nil, "--head", "http://"+addr+"/file").body
	_, etag, _ = strings.Cut(etag, "ETag: ")
	etag, _, _ = strings.Cut(etag, "\r\n")
	if c := curl(t, nil, "-H", "If-None-Match: "+etag, "http://"+addr+"/file"); c.status != http.StatusNotModified {
		t.Errorf("If-None-Match: %s: status %d\n%s", etag, c.status, c.errs)
	}
	if c := curl(t, nil, "-r", "2000000-", "http://"+addr+"/file"); c.status != 416 {
		t.Errorf("a range beyond the end: status %d\n%s", c.status, c.errs)
	}
	parts := curl(t, nil, "-r", "0-9,20-29", "http://"+addr+"/file")
	if parts.status != 206 || !strings.Contains(parts.body, "\r\n\r\n"+file[20:30]+"\r\n--") {
		t.Errorf("two ranges: status %d, %q", parts.status, parts.body)
	}
	if len(direct.body) == 0 || len(direct.body) > len(nginxText)/2 {
		t.Errorf("nginx compressed %d bytes to %d", len(nginxText), len(direct.body))
	}
}
