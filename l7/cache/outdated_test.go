package cache

import (
	"testing"
	"time"
)

// TestDiskOutdated: what memory had and the disk did not get, for want of room in the
// queue, leaves nothing older there to be found, and no new head before an old body.
func TestDiskOutdated(t *testing.T) {
	for _, vary := range []string{"", "X"} {
		d := newDiskStore(t)
		req := request(t, "/o", "X: 1")
		put := func(body string) {
			o := object(req, vary)
			o.Head = []byte("head of " + body)
			o.Meta.Received += int64(len(body))
			mustPut(t, d.Store, o, body)
		}
		put("v1")
		d.spilled()
		full := d.disk.Load()
		full.held.Add(1 << 40)
		put("version 2")
		full.held.Add(-1 << 40)
		var ref Ref
		if d.Lookup(keyOf(req), req, testNow, &ref) != Hit {
			t.Fatal("not in memory")
		}
		m := *ref.Meta()
		m.Received += int64(time.Second)
		if !d.Refresh(&ref, &m, []byte("refreshed"), 0) {
			t.Fatal("not refreshed")
		}
		ref.Release()
		d.restart()
		if d.Load(keyOf(req), req, testNow, &ref) {
			t.Errorf("Vary %q: %q with the body %q", vary, ref.Head(), readAll(t, &ref))
			ref.Release()
		}
		put("version 3")
		d.restart()
		if !d.Load(keyOf(req), req, testNow, &ref) {
			t.Fatalf("Vary %q: not found after it was stored again", vary)
		}
		if got := readAll(t, &ref); got != "version 3" {
			t.Errorf("Vary %q: got %q", vary, got)
		}
		ref.Release()
	}
}
