//go:build browser

package e2e

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// library is the backend of pages that are to be cached. It notes what it is asked for.
type library struct {
	page   string // of testdata
	result chan string

	mu    sync.Mutex
	asked []string // guarded by mu: path, a space, Range
}

func newLibrary(page string) *library { return &library{page: page, result: make(chan string, 1)} }

func (l *library) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/result" {
		text, _ := io.ReadAll(r.Body)
		l.result <- string(text)
		return
	}
	l.mu.Lock()
	l.asked = append(l.asked, r.URL.Path+" "+r.Header.Get("Range"))
	l.mu.Unlock()
	w.Header().Set("Cache-Control", "max-age=600")
	w.Header().Set("Etag", fmt.Sprintf("%q", r.URL.Path))
	switch path := r.URL.Path; path {
	case "/":
		http.ServeFile(w, r, filepath.Join("testdata", l.page))
	case "/words.json":
		w.Header().Set("Content-Type", "application/json")
		http.ServeContent(w, r, path, time.Time{}, strings.NewReader(words(1)))
	case "/static/app-1.js":
		http.ServeContent(w, r, path, time.Time{}, strings.NewReader(words(1)))
	case "/static/app-2.js":
		http.ServeContent(w, r, path, time.Time{}, strings.NewReader(words(2)))
	case "/sound.wav":
		w.Header().Set("Content-Type", "audio/wav")
		http.ServeContent(w, r, path, time.Time{}, bytes.NewReader(sound))
	default:
		http.NotFound(w, r)
	}
}

// fetched returns what was asked for, in order of names, without the icon that browsers ask for.
func (l *library) fetched() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := slices.DeleteFunc(l.asked, func(s string) bool { return strings.HasPrefix(s, "/favicon.ico") })
	slices.Sort(list)
	l.asked = nil
	return list
}

// words is a text that compresses well, but not to next to nothing without one that is
// like it: 4,000 numbers, and a version.
func words(version int) string {
	var b strings.Builder
	for n, i := uint32(1), 0; i < 4000; i++ {
		n = n*1664525 + 1013904223
		fmt.Fprintf(&b, "%d,", n)
	}
	return fmt.Sprintf("%s%d", &b, version)
}

// The sound is silence, ten minutes of it, 48 MiB.
const (
	soundRate    = 40_000
	soundSeconds = 600
	soundSlice   = 1 << 20
)

var sound = makeSound()

// makeSound writes a WAV file: one channel, 16 bits.
func makeSound() []byte {
	const octets = 2 * soundRate * soundSeconds
	b := append([]byte("RIFF"), binary.LittleEndian.AppendUint32(nil, 36+octets)...)
	b = append(b, "WAVEfmt "...)
	for _, n := range []uint32{16, 1 | 1<<16, soundRate, 2 * soundRate, 2 | 16<<16} {
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	b = binary.LittleEndian.AppendUint32(append(b, "data"...), octets)
	return append(b, make([]byte, octets)...)
}

// show shows the page to a browser that has seen nothing, and returns what it says.
func (l *library) show(t *testing.T, addr string) string {
	t.Helper()
	return l.showURL(t, "http://"+addr+"/")
}

// showURL is show with a URL, and arguments for the browser.
func (l *library) showURL(t *testing.T, url string, more ...string) string {
	t.Helper()
	log := startChromium(t, url, more...)
	select {
	case got := <-l.result:
		return got
	case <-time.After(3 * patience):
		t.Fatalf("the page says nothing; chromium:\n%s", log.tail(8<<10))
		return ""
	}
}

// TestChromiumFromCache: a second browser gets the page from Weir's cache, encoded.
func TestChromiumFromCache(t *testing.T) {
	l, addr := newLibrary("browser_cache.html"), freeAddr(t)
	startWeir(t, pool("app", startHandler(t, l.ServeHTTP))+web(addr, "app", "cache = true", "compress = true"))
	for _, want := range []struct {
		result string
		asked  []string
	}{
		{"weir; fwd=uri-miss", []string{"/ ", "/words.json "}},
		{"weir; hit", nil},
	} {
		got := l.show(t, addr)
		t.Log(got)
		status, coding, length := "", "", 0
		if _, err := fmt.Sscanf(got, "%d %s", &length, &coding); err != nil {
			t.Fatalf("the page says %q: %v", got, err)
		}
		_, status, _ = strings.Cut(got, coding+" ")
		if length != len(words(1)) || coding != "zstd" && coding != "br" || !strings.HasPrefix(status, want.result) {
			t.Errorf("the page says %q, want %d octets, zstd or br, %q", got, len(words(1)), want.result)
		}
		if list := l.fetched(); !slices.Equal(list, want.asked) {
			t.Errorf("the server was asked for %q, want %q", list, want.asked)
		}
	}
}

// TestChromiumSeeks: a browser plays a long sound from several places, from a cold cache
// and from a warm one, for which the server is asked for nothing.
func TestChromiumSeeks(t *testing.T) {
	l, addr := newLibrary("browser_sound.html"), freeAddr(t)
	startWeir(t, "[cache]\nmemory = \"128MiB\"\n"+pool("app", startHandler(t, l.ServeHTTP))+
		web(addr, "app", "cache = { slice = \"1MiB\" }"))
	const want = "600: 500 10 300 599"
	if got := l.show(t, addr); got != want {
		t.Errorf("cold: the page says %q, want %q", got, want)
	}
	cold := l.fetched()
	t.Logf("cold: %d requests", len(cold))
	if n := len(cold); n == 0 || len(slices.Compact(slices.Clone(cold))) != n || n > len(sound)/soundSlice {
		t.Errorf("cold: the server was asked for %q, want each slice once, and not all", cold)
	}
	for _, asked := range cold {
		if asked != "/ " && !strings.HasPrefix(asked, "/sound.wav bytes=") {
			t.Errorf("cold: the server was asked for %q", asked)
		}
	}
	if got := l.show(t, addr); got != want {
		t.Errorf("warm: the page says %q, want %q", got, want)
	}
	warm := l.fetched()
	t.Logf("warm: %d requests", len(warm))
	if len(warm) > len(cold)/4 { // how far a browser reads ahead is a matter of time
		t.Errorf("warm: the server was asked for %q", warm)
	}
	for _, asked := range warm {
		if slices.Contains(cold, asked) {
			t.Errorf("warm: the server was asked for %q again", asked)
		}
	}
}

// TestChromiumDictionary: a browser that has one version of a script gets the next one as
// the difference, over http of this machine and over https.
func TestChromiumDictionary(t *testing.T) {
	own, clear, secure := newBrowserCert(t), freeAddr(t), freeAddr(t)
	l := newLibrary("browser_dictionary.html")
	const route = "cache = true\ncompress = { dictionary = \"/static/app-*.js\" }"
	startWeir(t, pool("app", startHandler(t, l.ServeHTTP))+web(clear, "app", route)+
		tlsWeb("secure", secure, own.file, own.key, "app", route))
	show := func(url string, args ...string) {
		t.Helper()
		got := l.showURL(t, url, args...)
		t.Log(url, got)
		coding, rest, _ := strings.Cut(got, " ")
		if coding != "dcz" && coding != "dcb" || rest != fmt.Sprintf("%d true", len(words(2))) {
			t.Errorf("%s: the page says %q, want dcz or dcb and %d octets", url, got, len(words(2)))
		}
	}
	show("http://" + clear + "/")
	show(own.url(secure), own.args...)
}
