package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"testing"
)

// TestCurlDecodesCompressed: curl decodes what Weir encodes, in each coding that it knows, for
// pages and streams, from a server and from the store.
func TestCurlDecodesCompressed(t *testing.T) {
	t.Parallel()
	page := strings.Repeat("<p>The quick brown fox jumps over the lazy dog.</p>\n", 3000)
	origin := startHandler(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("ETag", `"v1"`)
		switch {
		case r.Header.Get("If-None-Match") == `"v1"`: // compared as texts, as many servers do
			w.WriteHeader(http.StatusNotModified)
			return
		case r.URL.Path == "/stored":
			w.Header().Set("Cache-Control", "max-age=600")
			w.Header().Set("Content-Length", fmt.Sprint(len(page)))
		}
		for i := 0; i < len(page); i += 10_000 {
			io.WriteString(w, page[i:min(i+10_000, len(page))])
			w.(http.Flusher).Flush()
		}
	})
	addr := freeAddr(t)
	startWeir(t, pool("app", origin)+web(addr, "app", "compress = true", "cache = true"))
	base := "http://" + addr
	f := func(path, accept, want string) {
		t.Helper()
		args := []string{"--compressed", base + path}
		if accept != "" {
			args = append(args, "-H", "Accept-Encoding: "+accept)
		}
		c := curl(t, nil, args...)
		if c.code != 0 || c.status != 200 || c.body != page {
			t.Errorf("%s %s: exit code %d, status %d, %d bytes\n%s", path, accept, c.code, c.status, len(c.body), c.errs)
		}
		if got := strings.Contains(c.errs, "< Content-Encoding: "+want+"\r\n"); got != (want != "") {
			t.Errorf("%s %s: want coding %q\n%s", path, accept, want, c.errs)
		}
	}
	for _, path := range []string{"/page", "/stored"} {
		f(path, "", "zstd") // curl offers all it knows
		for range 3 {
			f(path, "gzip", "gzip")
			f(path, "br", "br")
			f(path, "zstd", "zstd")
		}
		f(path, "gzip;q=0.1, br;q=0.2", "br")
		f(path, "identity", "")
	}
	c := curl(t, nil, "-H", "Accept-Encoding: gzip", "-H", `If-None-Match: W/"v1"`, base+"/page")
	if c.status != 304 || !strings.Contains(c.errs, `< Etag: W/"v1"`) {
		t.Errorf("what was weakened does not validate: status %d\n%s", c.status, c.errs)
	}
	c = curl(t, nil, "-H", "Accept-Encoding: zstd", base+"/page")
	zstd := exec.CommandContext(t.Context(), "zstd", "-d", "-c")
	zstd.Stdin = strings.NewReader(c.body)
	if out, err := zstd.Output(); err != nil || !bytes.Equal(out, []byte(page)) {
		t.Errorf("the zstd command makes %d bytes of it: %v", len(out), err)
	}
}
