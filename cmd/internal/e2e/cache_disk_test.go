package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// cacheableBody is what the origin of these tests has at a path, in its n-th version.
func cacheableBody(path string, n int64) []byte {
	size := 500
	if strings.HasPrefix(path, "/large") {
		size = 300_000
	}
	line := fmt.Sprintf("%s in version %d\n", path, n)
	return bytes.Repeat([]byte(line), 1+size/len(line))
}

// TestRow51_KilledWithCacheOnDisk: what was stored is there after kill -9, what a request
// made invalid is not, and what the disk has changed meanwhile is fetched anew.
func TestRow51_KilledWithCacheOnDisk(t *testing.T) {
	t.Parallel()
	var asked, version atomic.Int64
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			return
		}
		asked.Add(1)
		w.Header().Set("Cache-Control", "max-age=3600")
		w.Write(cacheableBody(r.URL.Path, version.Load()))
	}))
	t.Cleanup(origin.Close)
	addr, dir := freeAddr(t), filepath.Join(t.TempDir(), "cache")
	opts := options{unclean: true}
	w := startWeirWith(t, opts, fmt.Sprintf(`[cache]
memory = "16MiB"
disk = { path = %q, size = "64MiB" }
`, dir)+pool("app", strings.TrimPrefix(origin.URL, "http://"))+fmt.Sprintf(`[[l7]]
name = "web"
listen = [%q]
route = [{ pool = "app", cache = true }]
`, addr))
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	get := func(path string, version int64) {
		t.Helper()
		resp, err := client.Get("http://" + addr + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil || !bytes.Equal(body, cacheableBody(path, version)) {
			t.Errorf("%s: %d bytes of another body (%.40q), error %v", path, len(body), body, err)
		}
	}
	var paths []string
	for i := range 20 {
		paths = append(paths, fmt.Sprint("/small/", i), fmt.Sprint("/large/", i))
	}
	restart := func() {
		t.Helper()
		w.done = make(chan struct{})
		w.start(t, &opts)
		w.waitReady(t)
		waitFor(t, patience, "the directory is read", func() bool { return w.metric(t, "weir_cache_disk_ready") == 1 })
	}
	kill := func() {
		w.cmd.Process.Kill()
		<-w.done
	}

	waitFor(t, patience, "the directory is in use", func() bool { return w.metric(t, "weir_cache_disk_ready") == 1 })
	for _, path := range paths {
		get(path, 0)
	}
	waitFor(t, patience, "all is on disk", func() bool {
		return w.metric(t, `weir_cache_disk_writes_total{result="stored"}`) == float64(len(paths))
	})
	version.Store(1)
	for _, path := range paths[:4] {
		resp, err := client.Post("http://"+addr+path, "text/plain", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	kill()
	restart()
	before := asked.Load()
	for i, path := range paths {
		get(path, map[bool]int64{true: 1, false: 0}[i < 4])
	}
	if n := asked.Load() - before; n != 4 {
		t.Errorf("after kill -9 the origin was asked %d times, want 4", n)
	}
	kill()

	err := filepath.WalkDir(dir, func(name string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() || filepath.Dir(name) == dir {
			return err
		}
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		for i := 200; i < len(b); i += 400 {
			b[i] ^= 1
		}
		return os.WriteFile(name, b, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	version.Store(2)
	restart()
	for _, path := range paths {
		get(path, 2)
	}
	if w.metric(t, `weir_cache_disk_errors_total{cause="corrupt"}`) == 0 {
		t.Error("no error was counted")
	}
	if code, _ := w.stop(t, syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
