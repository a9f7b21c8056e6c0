package e2e

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// curled is what curl made of a transfer.
type curled struct {
	body   string
	errs   string // what it says with -v, heads and trailers too
	status int
	time   float64 // seconds
	conns  int     // connections that it opened
	code   int     // its exit code
}

// curl runs curl with these arguments, and standard input where stdin is not nil. It
// says what it does (-v). The figures are those of the last transfer.
func curl(t testing.TB, stdin io.Reader, args ...string) curled {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	// Figures come last in standard error, behind a line that no message has.
	const mark = "\nfigures of the test: "
	cmd := exec.CommandContext(ctx, "curl", append([]string{
		"-q", "-sS", "-v", "--noproxy", "*", "-w", "%{stderr}" + mark + "%{http_code} %{time_total} %{num_connects}\n",
	}, args...)...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &out, &errs
	err := cmd.Run()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	c := curled{body: out.String(), errs: errs.String(), code: cmd.ProcessState.ExitCode()}
	for part := range strings.SplitSeq(c.errs, mark) {
		conns := 0
		if n, _ := fmt.Sscan(part, &c.status, &c.time, &conns); n == 3 {
			c.conns += conns
		}
	}
	return c
}

// startHandler serves this handler until the test ends and returns its address.
func startHandler(t testing.TB, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// crcOf is what the path /sum of an origin says of n bytes of the pattern.
func crcOf(n int64) string {
	h := crc32.NewIEEE()
	io.Copy(h, patternReader(n))
	return fmt.Sprintf("%d %08x", n, h.Sum32())
}

// TestCurlRequests: what curl can ask for, and what a user of curl sees of it.
func TestCurlRequests(t *testing.T) {
	t.Parallel()
	o, addr := startOrigin(t, "a"), freeAddr(t)
	startWeir(t, pool("app", o.addr)+web(addr, "app"))
	base := "http://" + addr
	small := string(patternBytes(1000))
	f := func(path string, status int, body string, args ...string) {
		t.Helper()
		c := curl(t, nil, append(args, base+path)...)
		if c.code != 0 || c.status != status || c.body != body {
			t.Errorf("curl %s %s: exit code %d, status %d, %d bytes; want status %d, %d bytes\n%s",
				strings.Join(args, " "), path, c.code, c.status, len(c.body), status, len(body), c.errs)
		}
	}
	f("/bytes/1000", 200, small)
	f("/bytes/1000", 200, "", "--head", "-o", os.DevNull)
	f("/chunked/1000", 200, "", "--head", "-o", os.DevNull)
	f("/bytes/1000", 200, small, "--http1.0")
	f("/chunked/1000", 200, small, "--http1.0") // ends with the connection: 1.0 knows no chunks
	f("/chunked/1000", 200, small, "--http1.0", "-H", "Connection: keep-alive")
	f("/bytes/1000", 200, small, "--http2")       // offers h2c, and gets what it asked for by HTTP/1.1
	f("/bytes/1000", 200, small, "--tr-encoding") // offers a transfer coding that nobody has
	f("/bytes/1000", 200, small, "--limit-rate", "10k")
	f("/echo", 200, "a=1&b=2", "-d", "a=1", "-d", "b=2")
	for _, method := range []string{"PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"} {
		f("/echo", 200, "body", "-X", method, "-d", "body")
		f("/name", 200, "a", "-X", method)
	}
	f("/name?q=%20%22%c3%a9&&=", 200, "a")
	f("/a/b/../../name", 200, "a")                                   // curl resolves the dots
	f("/a/b/../../name", 400, "", "--path-as-is", "-o", "/dev/null") // or it does not
	f("/name", 400, "", "-H", "Host:", "-o", os.DevNull)
	f("/status/404", 404, "")
	f("/status/204", 204, "")
	f("/status/304", 304, "", "-H", `If-None-Match: "x"`)

	if c := curl(t, nil, "--http2-prior-knowledge", base+"/name"); c.code == 0 {
		t.Errorf("HTTP/2 without a word before is answered: %s", c.errs)
	}
	if c := curl(t, nil, "--head", base+"/bytes/1000"); !strings.Contains(c.body, "Content-Length: 1000\r\n") {
		t.Errorf("HEAD: %q", c.body)
	}
	urls := []string{}
	for range 20 {
		urls = append(urls, base+"/bytes/1000")
	}
	if c := curl(t, nil, urls...); c.conns != 1 || c.body != strings.Repeat(small, 20) {
		t.Errorf("20 transfers took %d connections and brought %d bytes", c.conns, len(c.body))
	}
}

// TestCurlUploads: bodies that curl sends, with a length and without, and the interim
// answer that it waits for.
func TestCurlUploads(t *testing.T) {
	t.Parallel()
	const size = 3 << 20
	o, addr := startOrigin(t, "a"), freeAddr(t)
	startWeir(t, pool("app", o.addr)+web(addr, "app"))
	url, want := "http://"+addr+"/sum", crcOf(size)
	file := filepath.Join(t.TempDir(), "body")
	if err := os.WriteFile(file, patternBytes(size), 0o600); err != nil {
		t.Fatal(err)
	}
	f := func(stdin io.Reader, expect bool, args ...string) {
		t.Helper()
		// curl sends the body without a 100 after this time, which is longer than a test.
		c := curl(t, stdin, append(args, "--expect100-timeout", "600", url)...)
		if c.code != 0 || c.status != http.StatusOK || c.body != want {
			t.Errorf("curl %s: exit code %d, status %d, %q; want %q\n%s",
				strings.Join(args, " "), c.code, c.status, c.body, want, c.errs)
		}
		if got := strings.Contains(c.errs, "< HTTP/1.1 100 Continue"); got != expect {
			t.Errorf("curl %s: 100 Continue came: %t, want %t\n%s", strings.Join(args, " "), got, expect, c.errs)
		}
	}
	f(nil, true, "-T", file) // curl waits for bodies beyond 1 MiB
	f(nil, false, "-T", file, "-H", "Expect:")
	f(nil, true, "--data-binary", "@"+file)
	f(patternReader(size), true, "-T", "-")
	f(patternReader(size), false, "-T", "-", "-H", "Expect:")
	f(patternReader(size), true, "-T", "-", "-X", "POST")
	f(nil, false, "-T", file, "--http1.0")

	form := curl(t, nil, "-F", "field=value", "-F", "file=@"+file, "http://"+addr+"/echo")
	if !strings.Contains(form.body, string(patternBytes(size))) || !strings.Contains(form.body, "\r\n\r\nvalue\r\n") {
		t.Errorf("a form came back with %d bytes\n%s", len(form.body), form.errs)
	}
	// The final answer may come instead of the interim one. curl then sends no body.
	refused := startHandler(t, func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no", http.StatusForbidden)
	})
	addr = freeAddr(t)
	startWeir(t, pool("app", refused)+web(addr, "app"))
	c := curl(t, nil, "-T", file, "--expect100-timeout", "600", "http://"+addr+"/")
	if c.code != 0 || c.status != http.StatusForbidden || strings.Contains(c.errs, "100 Continue") {
		t.Errorf("a refused upload: exit code %d, status %d\n%s", c.code, c.status, c.errs)
	}
}

// TestCurlTrailers: fields behind a chunked body reach curl, and the backend.
func TestCurlTrailers(t *testing.T) {
	t.Parallel()
	backend := startHandler(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-Checksum")
		w.Write(patternBytes(100000))
		w.Header().Set("X-Checksum", "0815")
	})
	addr := freeAddr(t)
	startWeir(t, pool("app", backend)+web(addr, "app"))
	for _, args := range [][]string{nil, {"-H", "TE: trailers", "-H", "Connection: TE"}} {
		file := filepath.Join(t.TempDir(), "fields")
		c := curl(t, nil, append(args, "-D", file, "http://"+addr+"/")...)
		head, after, _ := strings.Cut(readFile(t, file), "\r\n\r\n")
		if c.code != 0 || c.body != string(patternBytes(100000)) ||
			strings.Contains(head, "X-Checksum: ") || after != "X-Checksum: 0815\r\n" {
			t.Errorf("curl %v: exit code %d, %d bytes, %q, %q", args, c.code, len(c.body), head, after)
		}
	}
}

// TestCurlCompressed: an encoding that client and backend agree on is theirs: the octets
// pass as they are, and nobody is offered what he did not ask for.
func TestCurlCompressed(t *testing.T) {
	t.Parallel()
	plain := strings.Repeat("what can be compressed well, ", 10000)
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	io.WriteString(z, plain)
	z.Close()
	backend := startHandler(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Vary", "Accept-Encoding")
		if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			io.WriteString(w, plain)
			return
		}
		w.Header().Set("Content-Encoding", "gzip")
		if r.URL.Path == "/length" {
			w.Header().Set("Content-Length", strconv.Itoa(packed.Len()))
		} else {
			w.(http.Flusher).Flush()
		}
		w.Write(packed.Bytes())
	})
	addr := freeAddr(t)
	startWeir(t, pool("app", backend)+web(addr, "app"))
	f := func(want string, args ...string) {
		t.Helper()
		for _, path := range []string{"/length", "/chunked"} {
			c := curl(t, nil, append(args, "http://"+addr+path)...)
			if c.code != 0 || c.body != want {
				t.Errorf("curl %v %s: exit code %d, %d bytes, want %d\n%s", args, path, c.code, len(c.body), len(want), c.errs)
			}
		}
	}
	f(plain)
	f(plain, "--compressed")
	f(plain, "--compressed", "--http1.0")
	f(packed.String(), "-H", "Accept-Encoding: gzip")
}

// TestCurlParallel: many transfers of curl at a time.
func TestCurlParallel(t *testing.T) {
	t.Parallel()
	const n, size = 100, 200000
	o, addr, dir := startOrigin(t, "a"), freeAddr(t), t.TempDir()
	startWeir(t, pool("app", o.addr)+web(addr, "app"))
	c := curl(t, nil, "-Z", "--parallel-max", "25", "-o", filepath.Join(dir, "#1"),
		fmt.Sprintf("http://%s/chunked/%d?[1-%d]", addr, size, n))
	if c.code != 0 {
		t.Errorf("exit code %d\n%s", c.code, c.errs)
	}
	for i := 1; i <= n; i++ {
		got := readFile(t, filepath.Join(dir, strconv.Itoa(i)))
		if err := wantPattern(strings.NewReader(got), size); err != nil {
			t.Errorf("file %d: %v", i, err)
		}
	}
}
