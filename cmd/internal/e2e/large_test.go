package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"testing"
)

// largeSize is the length of one large body: 256 MiB, or 2 GiB in the long form, where
// a count of 31 bits would overflow.
func largeSize() int64 {
	if long {
		return 2 << 30
	}
	return 256 << 20
}

// sha256Of is the checksum of what r yields.
func sha256Of(r io.Reader) (string, error) {
	h := sha256.New()
	_, err := io.CopyBuffer(h, r, make([]byte, 1<<20))
	return hex.EncodeToString(h.Sum(nil)), err
}

// TestLargeBodies: downloads and uploads of curl, with a length and in chunks, made and
// checked on the fly. What Weir holds of them does not depend on their length.
func TestLargeBodies(t *testing.T) {
	t.Parallel()
	size := largeSize()
	want, _ := sha256Of(patternReader(size))
	backend := startHandler(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/length":
			w.Header().Set("Content-Length", fmt.Sprint(size))
			io.Copy(w, patternReader(size))
		case "/chunked":
			io.Copy(w, patternReader(size))
		default:
			sum, err := sha256Of(r.Body)
			fmt.Fprintf(w, "%s %v", sum, err)
		}
	})
	addr := freeAddr(t)
	w := startWeir(t, pool("app", backend)+web(addr, "app"))
	before := w.rss(t)
	for _, path := range []string{"/length", "/chunked"} {
		if got, err := largeDownload(t, "http://"+addr+path); err != nil || got != want {
			t.Errorf("download of %s: %s, %v; want %s", path, got, err, want)
		}
	}
	for _, args := range [][]string{
		{"-H", fmt.Sprintf("Content-Length: %d", size), "-H", "Transfer-Encoding:"}, nil,
	} {
		args = append(args, "-T", "-", "http://"+addr+"/upload")
		c := curl(t, patternReader(size), args...)
		if c.code != 0 || c.body != want+" <nil>" {
			t.Errorf("upload, curl %v: %q, want %s\n%s", args, c.body, want, c.errs)
		}
		if chunked := strings.Contains(c.errs, "> Transfer-Encoding: chunked"); chunked != (len(args) == 3) {
			t.Errorf("upload, curl %v: chunked: %t", args, chunked)
		}
	}
	if grown := w.rss(t) - before; grown > 32<<20 && !raced {
		t.Errorf("Weir grew by %d MiB", grown>>20)
	}
}

// largeDownload is the checksum of what curl gets.
func largeDownload(t testing.TB, url string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 6*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "curl", "-q", "-sS", "--fail", "--noproxy", "*", url)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	sum, err := sha256Of(out)
	if end := cmd.Wait(); err == nil {
		err = end
	}
	return sum, err
}
