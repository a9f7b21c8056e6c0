package cache

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/l7/cache/disk"
	"weir/l7/message"
)

func openDisk(t *testing.T, dir string) *disk.Tier {
	t.Helper()
	tier, err := disk.Open(disk.Options{Dir: dir, Size: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the disk tier is ready", tier.Ready)
	return tier
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

// diskStore is a store with a directory, in which it may be restarted.
type diskStore struct {
	*Store
	t   *testing.T
	dir string
}

func newDiskStore(t *testing.T) *diskStore {
	d := &diskStore{t: t, dir: filepath.Join(t.TempDir(), "cache")}
	d.restart()
	t.Cleanup(d.end)
	return d
}

func (d *diskStore) end() {
	if err := d.Close(); err != nil {
		d.t.Error(err)
	}
}

// restart makes another store, which has nothing in memory.
func (d *diskStore) restart() {
	d.t.Helper()
	if d.Store != nil {
		d.spilled()
		d.end()
	}
	d.Store = New(Options{Budget: 64 << 20})
	d.arena.poison = true
	if err := d.SetDisk(openDisk(d.t, d.dir), nil); err != nil {
		d.t.Fatal(err)
	}
}

// spilled waits until all that was stored is on disk.
func (d *diskStore) spilled() {
	d.t.Helper()
	eventually(d.t, "all is on disk", func() bool { return d.disk.Load().pending.Load() == 0 })
}

// find is what a lookup finds, in memory or, with a star, on disk; with a tilde it is stale.
func (d *diskStore) find(req *message.Request) string {
	d.t.Helper()
	if got := found(d.t, d.Store, req); got != "-" {
		return got
	}
	var ref Ref
	key := keyOf(req)
	if !d.OnDisk(key) || !d.Load(key, req, testNow, &ref) {
		return "-"
	}
	defer ref.Release()
	if got := readAll(d.t, &ref); ref.Meta().TTL(testNow) > 0 {
		return "*" + got
	} else {
		return "~" + got
	}
}

func (d *diskStore) want(req *message.Request, want string) {
	d.t.Helper()
	if got := d.find(req); got != want {
		d.t.Errorf("%s: found %.40q, want %.40q", req.Target, got, want)
	}
}

func TestDiskKeepsOverRestart(t *testing.T) {
	d := newDiskStore(t)
	a, b, c := request(t, "/a"), request(t, "/b"), request(t, "/c")
	large := body(3<<20, "b")
	mustPut(t, d.Store, object(a, ""), "one")
	mustPut(t, d.Store, object(b, ""), large)
	d.want(a, "one")
	for range 2 {
		d.restart()
		d.want(a, "*one")
		d.want(a, "one")
		d.want(b, "*"+large)
		d.want(c, "-")
	}
	if s := d.Stats(); s.Loaded != 2 || s.Skipped != 0 {
		t.Errorf("stats %+v", s)
	}
	var ref Ref
	if d.Lookup(keyOf(a), a, testNow, &ref) != Hit {
		t.Fatal("not there")
	}
	if string(ref.Head()) != "Content-Type: text/plain\r\n" || *ref.Meta() != meta() {
		t.Errorf("head %q, meta %+v", ref.Head(), ref.Meta())
	}
	ref.Release()
}

func TestDiskKeepsVariants(t *testing.T) {
	d := newDiskStore(t)
	en, de := request(t, "/", "Accept-Language: en"), request(t, "/", "Accept-Language: de")
	fr := request(t, "/", "Accept-Language: fr")
	mustPut(t, d.Store, object(en, "Accept-Language"), "hello")
	mustPut(t, d.Store, object(de, "Accept-Language"), "hallo")
	d.restart()
	d.want(en, "*hello")
	d.want(de, "*hallo")
	d.want(fr, "-")
	// Another Vary: what is under the old one is not found any more.
	mustPut(t, d.Store, object(request(t, "/", "X-A: 1"), "X-A"), "by x-a")
	d.restart()
	d.want(request(t, "/", "Accept-Language: en", "X-A: 2"), "-")
	d.want(request(t, "/", "X-A: 1"), "*by x-a")
	// None at all.
	mustPut(t, d.Store, object(en, ""), "for all")
	d.restart()
	d.want(de, "*for all")
}

func TestDiskPurge(t *testing.T) {
	d := newDiskStore(t)
	one, two := request(t, "/x/1"), request(t, "/y/2", "Accept-Language: en")
	f := func(sel Selector, want1, want2 string) {
		t.Helper()
		o := object(one, "")
		o.Tags = [][]byte{[]byte("odd")}
		mustPut(t, d.Store, o, "1")
		o = object(two, "Accept-Language")
		o.Tags = [][]byte{[]byte("even")}
		mustPut(t, d.Store, o, "2")
		d.Purge(&sel, testNow)
		for range 2 {
			d.restart()
			d.want(one, want1)
			d.want(two, want2)
		}
		d.Purge(&Selector{All: true}, testNow)
		d.want(one, "-")
		d.want(two, "-")
	}
	host := []byte("a.example")
	f(Selector{Key: keyOf(one)}, "-", "*2")
	f(Selector{Key: keyOf(two)}, "*1", "-")
	f(Selector{Tag: []byte("odd")}, "-", "*2")
	f(Selector{Tag: []byte("even")}, "*1", "-")
	f(Selector{Host: host, Path: []byte("/y/")}, "*1", "-")
	f(Selector{Host: host}, "-", "-")
	f(Selector{Host: []byte("a.exampl")}, "*1", "*2")
	f(Selector{All: true}, "-", "-")
	f(Selector{All: true, Soft: true}, "~1", "~2")
	f(Selector{Tag: []byte("odd"), Soft: true}, "~1", "*2")
	f(Selector{Key: keyOf(two), Soft: true}, "*1", "~2")
	f(Selector{Key: keyOf(request(t, "/none"))}, "*1", "*2")
}

// TestDiskPurgeRaces: nothing that was stored before a purge is found after it, in memory
// or on disk, however they meet.
func TestDiskPurgeRaces(t *testing.T) {
	d := newDiskStore(t)
	req := request(t, "/")
	for i := range 300 {
		old := fmt.Sprint("old", i)
		var wg sync.WaitGroup
		wg.Go(func() { mustPut(t, d.Store, object(req, ""), old) })
		wg.Go(func() {
			var ref Ref
			if d.Load(keyOf(req), req, testNow, &ref) {
				ref.Release()
			}
		})
		if i%2 == 0 {
			wg.Wait()
		}
		before := d.find(req)
		d.Purge(&Selector{Key: keyOf(req)}, testNow)
		got := d.find(req)
		if i%2 == 0 && got != "-" || got != "-" && strings.Trim(before, "*") == strings.Trim(got, "*") {
			t.Fatalf("round %d: %q is there, before the purge it was %q", i, got, before)
		}
		wg.Wait()
		d.Purge(&Selector{Key: keyOf(req)}, testNow)
		d.spilled()
		if got := d.find(req); got != "-" {
			t.Fatalf("round %d: %q is there", i, got)
		}
	}
}

func TestDiskRefresh(t *testing.T) {
	d := newDiskStore(t)
	f := func(req *message.Request, vary string) {
		t.Helper()
		mustPut(t, d.Store, object(req, vary), "body")
		d.spilled()
		var ref Ref
		if d.Lookup(keyOf(req), req, testNow, &ref) != Hit {
			t.Fatal("not there")
		}
		m := meta()
		m.Lifetime = time.Hour
		if !d.Refresh(&ref, &m, []byte("X-New: 1\r\n"), 0) {
			t.Fatal("not refreshed")
		}
		ref.Release()
		d.restart()
		d.want(req, "*body")
		if d.Lookup(keyOf(req), req, testNow, &ref) != Hit {
			t.Fatal("not there")
		}
		if string(ref.Head()) != "X-New: 1\r\n" || ref.Meta().Lifetime != time.Hour {
			t.Errorf("head %q, meta %+v", ref.Head(), ref.Meta())
		}
		ref.Release()
	}
	f(request(t, "/a"), "")
	f(request(t, "/b", "X-A: 1"), "X-A")
}

// TestRow51_BrokenDiskIsAMiss: what cannot be read whole is fetched anew.
func TestRow51_BrokenDiskIsAMiss(t *testing.T) {
	d := newDiskStore(t)
	small, large := request(t, "/small"), request(t, "/large")
	mustPut(t, d.Store, object(small, ""), "small")
	mustPut(t, d.Store, object(large, ""), body(300_000, "x"))
	d.spilled()
	d.restart()
	err := filepath.WalkDir(d.dir, func(name string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() || e.Name() == "lock" || e.Name() == "journal" {
			return err
		}
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if i := strings.Index(string(b), "small"); i >= 0 {
			for ; i >= 0; i = strings.Index(string(b), "small") {
				b[i] = 'S'
			}
		} else {
			b[len(b)/2] ^= 1
		}
		return os.WriteFile(name, b, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	d.want(small, "-")
	d.want(large, "-")
	if n := d.Disk().Stats().Errors[disk.Corrupt]; n != 2 {
		t.Errorf("%d were found to be corrupt, want 2", n)
	}
	mustPut(t, d.Store, object(small, ""), "new")
	d.restart()
	d.want(small, "*new")
}

// TestDiskOneRead: of many that ask for what is on disk, one reads.
func TestDiskOneRead(t *testing.T) {
	d := newDiskStore(t)
	req := request(t, "/")
	text := body(1<<20, "x")
	mustPut(t, d.Store, object(req, ""), text)
	d.restart()
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			var ref Ref
			if d.Lookup(keyOf(req), req, testNow, &ref) != Hit && !d.Load(keyOf(req), req, testNow, &ref) {
				t.Error("not there")
				return
			}
			defer ref.Release()
			if readAll(t, &ref) != text {
				t.Error("another body")
			}
		})
	}
	wg.Wait()
	if n := d.Disk().Stats().Hits; n != 1 {
		t.Errorf("%d reads, want 1", n)
	}
}

// TestSetDisk: a directory may come, go and change while the store is in use.
func TestSetDisk(t *testing.T) {
	s := newStore(t, Options{})
	req := request(t, "/")
	other := filepath.Join(t.TempDir(), "other")
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				mustPut(t, s, object(request(t, fmt.Sprintf("/%d/%d", w, i%50)), ""), "x")
				var ref Ref
				if s.Load(keyOf(req), req, testNow, &ref) {
					ref.Release()
				}
				s.Purge(&Selector{Key: keyOf(req)}, testNow)
			}
		})
	}
	for i := range 6 {
		var tier *disk.Tier
		if i%3 != 2 {
			tier = openDisk(t, other+fmt.Sprint(i%3))
		}
		if err := s.SetDisk(tier, nil); err != nil {
			t.Error(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
	close(stop)
	wg.Wait()
	if s.Disk() != nil || s.OnDisk(keyOf(req)) {
		t.Error("there is a disk")
	}
}
