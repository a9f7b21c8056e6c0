package static

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"weir/conf"
	"weir/l7/message"
)

func TestFileName(t *testing.T) {
	f := func(path string, dotfiles bool, want string, dir bool) {
		t.Helper()
		name, d, ok := fileName([]byte(path), dotfiles)
		if !ok {
			name = "-"
		}
		if name != want || ok && d != dir {
			t.Errorf("%q: got %q %v, want %q %v", path, name, d, want, dir)
		}
	}
	f("/", false, ".", true)
	f("/a", false, "a", false)
	f("/a/b/", false, "a/b", true)
	f("/a%20b%c3%A9", false, "a b\u00e9", false)
	f("/%7ea", false, "~a", false)
	f("/a;b=c", false, "a;b=c", false)
	f("/a%25b", false, "a%b", false)

	f("", false, "-", false)
	f("*", false, "-", false)
	f("//a", false, "-", false)
	f("/a//b", false, "-", false)
	f("/a//", false, "-", false)
	f("/a%2fb", false, "-", false)
	f("/a%00", false, "-", false)
	f("/a%", false, "-", false)
	f("/a%2", false, "-", false)
	f("/a%zz", false, "-", false)
	f("/..", true, "-", false)
	f("/%2e%2e/a", true, "-", false)
	f("/a/./b", true, "-", false)
	f("/.git/config", false, "-", false)
	f("/a/.env", false, "-", false)
	f("/%2egit", false, "-", false)
	f("/.well-known/x", true, ".well-known/x", false)
	f("/...", true, "...", false)
}

func fields(lines ...string) (all []message.Field) {
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ": ")
		all = append(all, message.Field{
			Name: []byte(name), Value: []byte(value), Known: message.Lookup([]byte(name)),
		})
	}
	return all
}

// TestBest: which precompressed form is looked for first, and which next.
func TestBest(t *testing.T) {
	all := []string{"br", "zstd", "gzip"}
	f := func(accept string, want ...int) {
		t.Helper()
		var got []int
		for tried := uint8(0); ; {
			i := best(fields("Accept-Encoding: "+accept), all, tried)
			if i < 0 {
				break
			}
			tried |= 1 << i
			got = append(got, i)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: got %v, want %v", accept, got, want)
		}
	}
	f("gzip, br", 0, 2)
	f("GZIP", 2)
	f("x-gzip", 2)
	f("gzip; q=0.001", 2)
	f("*", 0, 1, 2)
	f("*;q=0, br", 0)
	f("br;q=0.1, gzip", 2, 0)
	f("br;q=0.1, gzip;q=0.8, identity;q=0.5", 2) // then the file itself
	f("gzip;q=0.5, identity")
	f("")
	f("gzip;q=0, *", 0, 1)
	f("gzip;q=x")
	f("gzip;level=1")
	f("*;q=0")
	f("gzipp")
}

func TestDecide(t *testing.T) {
	modified := time.Date(2024, 5, 6, 7, 8, 9, 500, time.UTC)
	file := &File{Size: 10, ModTime: modified}
	tag := string(file.AppendETag(nil))
	at := modified.Truncate(time.Second).Format(message.TimeFormat)
	before := modified.Add(-time.Hour).Format(message.TimeFormat)
	after := modified.Add(time.Hour).Format(message.TimeFormat)
	f := func(want Outcome, lines ...string) {
		t.Helper()
		if got, _ := file.Decide(fields(lines...), true, nil); got != want {
			t.Errorf("%v: got %d, want %d", lines, got, want)
		}
	}
	f(Whole)
	f(NotModified, "If-None-Match: "+tag)
	f(NotModified, "If-None-Match: W/"+tag)
	f(NotModified, `If-None-Match: "x", `+tag)
	f(NotModified, `If-None-Match: "x"`, "If-None-Match: "+tag)
	f(NotModified, "If-None-Match: *")
	f(Whole, `If-None-Match: "x"`)
	f(Whole, `If-None-Match: garbage `+tag)
	f(Whole, `If-None-Match: "x"`, "If-Modified-Since: "+after) // the tag decides
	f(NotModified, "If-Modified-Since: "+at)
	f(NotModified, "If-Modified-Since: "+after)
	f(NotModified, "If-Modified-Since: "+modified.Add(time.Hour).Format(time.ANSIC))
	f(Whole, "If-Modified-Since: "+before)
	f(Whole, "If-Modified-Since: yesterday")

	f(Whole, "If-Match: "+tag)
	f(Whole, "If-Match: *")
	f(Failed, `If-Match: "x"`)
	f(Failed, "If-Match: W/"+tag)
	f(Whole, "If-Match: "+tag, "If-Unmodified-Since: "+before)
	f(Failed, "If-Unmodified-Since: "+before)
	f(Whole, "If-Unmodified-Since: "+at)

	f(Partial, "Range: bytes=0-1")
	f(Unsatisfiable, "Range: bytes=10-")
	f(Whole, "Range: bytes=0-1", "Range: bytes=1-2")
	f(Partial, "Range: bytes=0-1", "If-Range: "+tag)
	f(Whole, "Range: bytes=0-1", "If-Range: W/"+tag)
	f(Whole, "Range: bytes=0-1", `If-Range: "x"`)
	f(Partial, "Range: bytes=0-1", "If-Range: "+at)
	f(Whole, "Range: bytes=0-1", "If-Range: "+after)
	f(NotModified, "Range: bytes=0-1", "If-None-Match: "+tag)
	if got, _ := file.Decide(fields("Range: bytes=0-1"), false, nil); got != Whole {
		t.Errorf("HEAD with Range: got %d, want the whole", got)
	}
}

// TestOpen: what is found below a directory, and that nothing else is.
func TestOpen(t *testing.T) {
	top := t.TempDir()
	dir := filepath.Join(top, "www")
	put := func(name, text string) {
		t.Helper()
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put("a.html", "a")
	put("a.html.br", "a by br")
	put("a.html.gz", "a by gzip")
	put("sub/index.html", "index")
	put("empty/x", "x")
	put(".git/config", "secret")
	put("../outside", "outside")
	link := func(to, name string) {
		t.Helper()
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	link("a.html", "inside.html")
	link("../outside", "out")
	link("/etc/passwd", "abs")
	link("..", "up")
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := New(&conf.Files{Root: dir, Index: []string{"index.html"}, Precompressed: []string{"br", "gzip"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	f := func(path, accept, want string) {
		t.Helper()
		file, err := s.Open([]byte(path), fields("Accept-Encoding: "+accept))
		got := fmt.Sprint(err)
		if err == nil {
			b := make([]byte, file.Size)
			file.ReadAt(b, 0)
			got = string(b)
			file.Close()
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
	none := ErrNotFound.Error()
	f("/a.html", "", "a")
	f("/a.html", "gzip, br", "a by br")
	f("/a.html", "gzip", "a by gzip")
	f("/inside.html", "", "a")
	f("/sub/", "", "index")
	f("/sub", "", ErrDirectory.Error())
	f("/empty/", "", none)
	f("/", "", none)
	f("/a.html/", "", none)
	f("/nothing", "", none)
	f("/.git/config", "", none)
	f("/out", "", none)
	f("/abs", "", none)
	f("/up/outside", "", none)
	f("/fifo", "", none)
	f("/"+strings.Repeat("a", 300), "", none)

	// A directory that takes the place of the first is noticed.
	if err := os.Rename(dir, dir+".old"); err != nil {
		t.Fatal(err)
	}
	put("new.txt", "new")
	s.dir.Load().checked.Store(0)
	f("/new.txt", "", "new")
	f("/a.html", "", none)

	s.conf.Fallback = "/new.txt"
	f("/app/route", "", "new")
	f("/..", "", "new")
}

func TestETag(t *testing.T) {
	a := &File{Size: 1, ModTime: time.Unix(1, 5)}
	tags := map[string]bool{}
	for _, f := range []*File{
		a, {Size: 2, ModTime: a.ModTime}, {Size: 1, ModTime: time.Unix(1, 6)}, {Size: 1, ModTime: a.ModTime, Encoding: "br"},
	} {
		tags[string(f.AppendETag(nil))] = true
	}
	if len(tags) != 4 || !reflect.DeepEqual(a.AppendETag(nil), a.AppendETag(nil)) {
		t.Errorf("got %v, want four tags", tags)
	}
}
