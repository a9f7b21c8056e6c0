package static

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/conf"
)

// shelf is a site that keeps files, and the functions that tests change it with.
type shelf struct {
	*Site
	t   *testing.T
	dir string
}

func newShelf(t *testing.T, memory conf.Size) *shelf {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "www")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s, err := New(&conf.Files{
		Root: dir, Index: []string{"index.html", "index.htm"}, Precompressed: []string{"br"}, Memory: memory,
	}, func(f func()) { f() })
	if err != nil {
		t.Fatal(err)
	}
	return &shelf{s, t, dir}
}

// put puts a file in place by renaming, with a time of its last change that is always
// the same.
func (s *shelf) put(name, text string) {
	s.t.Helper()
	name = filepath.Join(s.dir, name)
	always := time.Unix(1_000_000_000, 0)
	for _, err := range []error{
		os.MkdirAll(filepath.Dir(name), 0o755),
		os.WriteFile(name+".new", []byte(text), 0o644),
		os.Chtimes(name+".new", always, always),
		os.Rename(name+".new", name),
	} {
		if err != nil {
			s.t.Fatal(err)
		}
	}
}

// settle waits until what was put may be kept.
func settle() { time.Sleep(settled + 20*time.Millisecond) }

// get returns what a request gets, and whether that is kept.
func (s *shelf) get(path, accept string) (text string, kept bool) {
	s.t.Helper()
	f, err := s.Open([]byte(path), fields("Accept-Encoding: "+accept))
	if err != nil {
		return err.Error(), false
	}
	defer f.Close()
	if f.Body != nil {
		return string(f.Body), true
	}
	b := make([]byte, f.Size)
	f.ReadAt(b, 0)
	return string(b), f.IsKept()
}

// TestKept: what is kept is what is in the directory, whatever happens there, at the latest
// when it is compared.
func TestKept(t *testing.T) {
	s := newShelf(t, 1<<20)
	f := func(path, accept, want string, kept bool) {
		t.Helper()
		got, k := s.get(path, accept)
		if got != want || k != kept {
			t.Errorf("%s: got %.40q, kept %v; want %.40q, %v", path, got, k, want, kept)
		}
	}
	none := ErrNotFound.Error()
	s.put("a", "one")
	f("/a", "", "one", false) // it may be changed this very moment
	settle()
	f("/a", "", "one", true)
	f("/a", "br", "one", true)

	s.put("a", "two") // as long and as old
	f("/a", "", "two", false)
	settle()
	f("/a", "", "two", true)

	s.put("a.br", "two by br")
	settle()
	f("/a", "br", "two by br", true)
	f("/a", "", "two", true)
	os.Remove(filepath.Join(s.dir, "a.br"))
	f("/a", "br", "two", true)
	os.Remove(filepath.Join(s.dir, "a"))
	f("/a", "br", none, false)

	s.put("a/index.htm", "second")
	settle()
	f("/a/", "", "second", false) // another one may come before it
	s.put("a/index.html", "first")
	settle()
	f("/a/", "", "first", true)
	os.Remove(filepath.Join(s.dir, "a/index.html"))
	f("/a/", "", "second", false)

	big := strings.Repeat("x", MaxKept+1)
	s.put("big", big)
	s.put("most", big[1:])
	s.put("big2", big)
	s.put("big2.br", "short")
	s.put("none", "")
	settle()
	f("/big", "", big, false)
	f("/most", "", big[1:], true)
	f("/big2", "br", "short", true)
	f("/big2", "", big, false)
	f("/big2", "br", "short", true)
	f("/none", "", "", true)

	// Another directory under the name.
	if err := os.Rename(s.dir, s.dir+".old"); err != nil {
		t.Fatal(err)
	}
	s.put("most", "less")
	settle()
	s.at().checked.Store(0)
	f("/most", "", "less", true)
	f("/big", "", none, false)
}

func (s *shelf) at() *directory { return s.Site.dir.Load() }

// TestKeptFor: without a look at the directory a file is served for a second, and is looked
// at beside the requests before.
func TestKeptFor(t *testing.T) {
	s := newShelf(t, 1<<20)
	s.put("a", "one")
	settle()
	s.get("/a", "")
	now := time.Now()
	f := func(age time.Duration, want bool) {
		t.Helper()
		s.at().keep.find([]byte("/a")).looked.Store(now.Add(-age).UnixNano())
		s.at().checked.Store(now.UnixNano())
		if got := s.Kept([]byte("/a"), nil, now); (got != nil) != want {
			t.Errorf("at %v: got %v", age, got)
		}
	}
	f(0, true)
	f(recheck, false)
	f(time.Hour, false)
	f(lookAhead, true) // and it is compared
	if e := s.at().keep.find([]byte("/a")); now.UnixNano() > e.looked.Load() {
		t.Error("it was not looked at beside the request")
	}
	s.put("a", "two")
	f(lookAhead, true)
	if s.at().keep.find([]byte("/a")) != nil {
		t.Error("it is kept after it was seen to be another one")
	}
	if s.Kept([]byte("/b"), nil, now) != nil {
		t.Error("what was never asked for is kept")
	}
}

// TestKeptMemory: the budget holds, and what is asked for stays.
func TestKeptMemory(t *testing.T) {
	s := newShelf(t, 64<<10)
	for i := range 40 {
		s.put("f"+string(rune('a'+i)), strings.Repeat("x", 4000))
	}
	s.put("hot", "hot")
	settle()
	k := s.at().keep
	for i := range 40 {
		s.get("/hot", "")
		s.get("/f"+string(rune('a'+i)), "")
		if k.used > k.budget {
			t.Fatalf("%d octets are used of %d", k.used, k.budget)
		}
	}
	if k.find([]byte("/hot")) == nil || len(k.ring) < 5 {
		t.Errorf("%d files are kept", len(k.ring))
	}
	hot := s.Kept([]byte("/hot"), nil, time.Now())
	before := k.used
	hot.Keep("gzip", []byte("by gzip"))
	hot.Keep("gzip", []byte("again"))
	if string(hot.Encoded("gzip")) != "by gzip" || hot.Encoded("br") != nil || k.used != before+7 {
		t.Errorf("got %q, %d octets more", hot.Encoded("gzip"), k.used-before)
	}
	hot.Keep("br", make([]byte, 1<<20)) // it makes all go
	if k.used > k.budget || len(k.byPath) != len(k.ring) {
		t.Errorf("%d octets are used; %d files, %d in the ring", k.used, len(k.byPath), len(k.ring))
	}
	var sum int64
	for _, e := range k.ring {
		sum += e.cost
	}
	if sum != k.used {
		t.Errorf("%d octets are counted, %d used", sum, k.used)
	}
}

// TestKeptOpen: what is longer takes a descriptor, of which there are not many; who uses a
// file that goes meanwhile still has it.
func TestKeptOpen(t *testing.T) {
	s := newShelf(t, 1<<30)
	const many = maxOpen + 20
	text := strings.Repeat("x", inHeap+1)
	for i := range many {
		s.put(fmt.Sprint("f", i), text)
	}
	settle()
	k := s.at().keep
	s.get("/f0", "")
	used := s.Kept([]byte("/f0"), nil, time.Now())
	if used == nil || used.Body != nil {
		t.Fatalf("got %v", used)
	}
	for range 2 {
		for i := range many {
			s.get(fmt.Sprint("/f", i), "")
			if k.open > maxOpen {
				t.Fatalf("%d files are open", k.open)
			}
		}
	}
	k.drop(used.kept)
	if used.orNil() == nil {
		t.Error("who has it cannot have it for another")
	}
	used.Close()
	b := make([]byte, used.Size)
	if n, err := used.ReadAt(b, 0); n != len(text) || err != nil {
		t.Errorf("got %d octets, %v", n, err)
	}
	used.Close()
	if _, err := used.ReadAt(b, 0); err == nil || used.orNil() != nil {
		t.Error("it is open after the last one has closed it")
	}
	k.add(&kept{path: "/x", place: -1, cost: 1 << 40})
	if k.find([]byte("/x")) != nil {
		t.Error("what does not fit is kept")
	}
}

// TestKeptAtOnce: readers never get a mixture while files are put in place.
func TestKeptAtOnce(t *testing.T) {
	s := newShelf(t, 1<<20)
	s.put("a", "0")
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				f := s.Kept([]byte("/a"), nil, time.Now())
				if f == nil {
					var err error
					if f, err = s.Open([]byte("/a"), nil); err != nil {
						t.Error(err)
						return
					}
				}
				b := make([]byte, f.Size+1)
				if n := copy(b, f.Body); n > 0 {
					b = b[:n]
				} else {
					n, _ := f.ReadAt(b, 0)
					b = b[:n]
				}
				if int64(len(b)) != f.Size || len(b) == 0 || len(bytes.Trim(b, string(b[:1]))) > 0 {
					t.Errorf("got a mixture of %d octets", len(b))
				}
				f.Close()
			}
		})
	}
	for i := range 8 {
		s.put("a", strings.Repeat(string(rune('0'+i)), 1+i*6000))
		settle()
	}
	close(stop)
	wg.Wait()
}
