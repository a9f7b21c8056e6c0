package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestRow51_KilledInADownload: a download that is longer than memory stores is read by
// slices; Weir is killed in the middle of it, again and again, and what was on disk by then
// is not fetched once more.
func TestRow51_KilledInADownload(t *testing.T) {
	t.Parallel()
	const size, kills = 24 << 20, 5
	want := patternBytes(size)
	var mu sync.Mutex
	var asked []string
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked = append(asked, r.Header.Get("Range"))
		mu.Unlock()
		w.Header().Set("Cache-Control", "max-age=3600")
		w.Header().Set("Etag", `"1"`)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(want))
	}))
	t.Cleanup(origin.Close)
	addr, opts := freeAddr(t), options{unclean: true}
	w := startWeirWith(t, opts, fmt.Sprintf(`[cache]
memory = "16MiB"
max_object = "2MiB"
disk = { path = %q, size = "128MiB" }
`, filepath.Join(t.TempDir(), "cache"))+pool("app", strings.TrimPrefix(origin.URL, "http://"))+
		web(addr, "app", `cache = { slice = "1MiB" }`))
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	ready := func() bool { return w.metric(t, "weir_cache_disk_ready") == 1 }
	// get reads the first octets of the download, after which then is called.
	get := func(octets int, then func()) {
		t.Helper()
		resp, err := client.Get("http://" + addr + "/download")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		got := make([]byte, octets)
		if n, err := io.ReadFull(resp.Body, got); err != nil || resp.ContentLength != size || !bytes.Equal(got, want[:octets]) {
			t.Fatalf("%d of %d octets of another body, error %v", n, resp.ContentLength, err)
		}
		then()
		rest, err := io.ReadAll(resp.Body)
		if at := octets + len(rest); !bytes.Equal(rest, want[octets:at]) || err == nil && at != size {
			t.Errorf("%d octets of another body, error %v", at, err)
		}
	}
	waitFor(t, patience, "the directory is in use", ready)
	for n := range kills {
		get((4*n+2)<<20, func() {
			waitFor(t, patience, "the slices are on disk", func() bool {
				return w.metric(t, "weir_cache_disk_objects") >= float64(4*n)
			})
			w.cmd.Process.Kill()
			<-w.done
		})
		w.done = make(chan struct{})
		w.start(t, &opts)
		w.waitReady(t)
		waitFor(t, patience, "the directory is read", ready)
	}
	get(size, func() {})
	mu.Lock()
	defer mu.Unlock()
	slices.Sort(asked)
	t.Logf("%d requests for %d slices", len(asked), size>>20)
	if n := len(asked); n > 2*size>>20 {
		t.Errorf("the origin was asked %d times after %d kills: %q", n, kills, asked)
	}
	if code, _ := w.stop(t, syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
