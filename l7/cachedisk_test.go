package l7

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"weir/conf"
)

// TestDiskIsTriedAgain: a directory that could not be used is tried again by the next
// reload.
func TestDiskIsTriedAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r := newRig(t, storing, "127.0.0.1:1")
	st, c := r.server.stored(), conf.CacheDisk{Path: dir, Size: 32 << 20}
	r.server.useDisk(st, &c)
	if st.Disk() != nil || !strings.Contains(r.log.String(), "cache on disk not opened") {
		t.Fatalf("a file is used as a directory; log:\n%s", r.log)
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	again := c
	r.server.useDisk(st, &again)
	if st.Disk() == nil {
		t.Error("the directory is not used after a reload")
	}
}

// TestSlicesFromDisk: slices that memory has let go, or that are of a process before, come
// from the disk, all variants of them.
func TestSlicesFromDisk(t *testing.T) {
	f := newFilm(30 * sliceSize)
	o := newHTTPOrigin(t, f.ServeHTTP)
	config := fmt.Sprintf("[cache]\nmemory = \"4MiB\"\nmax_object = \"256KiB\"\n"+
		"[cache.disk]\npath = %q\nsize = \"64MiB\"\n", t.TempDir()) + slicedRig
	for round := range 2 {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			r := newRig(t, config, o.addr)
			d := r.server.store.Disk()
			eventually(t, "the disk", d.Ready)
			if round == 0 {
				for n := range 30 { // one after the other: what the disk is too slow for, it does not get
					r.dial().seek("/film", fmt.Sprintf("bytes=%d-%d", n*sliceSize, n*sliceSize+9))
					eventually(t, "the slice on disk", func() bool { return d.Stats().Objects > n })
				}
			}
			f.fetched()
			for _, value := range []string{"bytes=0-", "bytes=-10", "bytes=70000-70009"} {
				res, _, err := r.dial().seek("/film", value)
				if err != nil || res.StatusCode != 206 || !strings.HasPrefix(res.Header.Get("Cache-Status"), "weir; hit") {
					t.Errorf("%s: %d, %q, %v", value, res.StatusCode, res.Header.Get("Cache-Status"), err)
				}
			}
			if _, body, err := r.askAlone("/film"); err != nil || body != string(f.body) {
				t.Errorf("all of it: %d octets, %v", len(body), err)
			}
			if list := f.fetched(); len(list) > 0 {
				slices.Sort(list)
				t.Errorf("the server was asked for %q", list)
			}
		})
	}
}
