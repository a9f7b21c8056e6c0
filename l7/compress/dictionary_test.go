package compress

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/molecule-man/go-brrr"

	"weir/l7/message"
)

func field(name, value string) message.Field {
	return message.Field{Name: []byte(name), Value: []byte(value), Known: message.Lookup([]byte(name))}
}

func TestAvailable(t *testing.T) {
	hash := sha256.Sum256([]byte("x"))
	good := ":" + base64.StdEncoding.EncodeToString(hash[:]) + ":"
	f := func(want bool, values ...string) {
		t.Helper()
		var fields []message.Field
		for _, v := range values {
			fields = append(fields, field("Available-Dictionary", v))
		}
		if got, ok := Available(fields); ok != want || ok && got != hash {
			t.Errorf("%q: got %x %v", values, got, ok)
		}
	}
	f(true, good)
	f(false)
	f(false, good, good)
	f(false, "")
	f(false, strings.Trim(good, ":"))
	f(false, good[:len(good)-2]+":")
	f(false, ":"+base64.StdEncoding.EncodeToString(hash[:31])+"AA==:")
	f(false, strings.Replace(good, "A", "*", 1)[:len(good)-3]+"**:")
	f(false, good+";a=1")
}

func TestPattern(t *testing.T) {
	f := func(pattern, path string, want bool) {
		t.Helper()
		p := NewPattern(pattern)
		if got := p.Matches([]byte(path)); got != want {
			t.Errorf("%s %s: got %v", pattern, path, got)
		}
	}
	f("/a", "/a", true)
	f("/a", "/ab", false)
	f("/app-*.js", "/app-1.js", true)
	f("/app-*.js", "/app-.js", true)
	f("/app-*.js", "/app-1.css", false)
	f("/app-*.js", "/app-js", false)
	f("/*", "/", true)
	f("/*", "/a/b/c", true)
	f("/*/v*/x", "/a/v1/x", true)
	f("/*/v*/x", "/a/b/v1/c/x", true)
	f("/*/v*/x", "/a/x", false)
	f("/a*a", "/a", false) // the two may not overlap
	f("/a*a", "/aa", true)
	p := NewPattern("/app-*.js")
	if got := string(p.AppendUseAs(nil)); got != "Use-As-Dictionary: match=\"/app-*.js\"\r\n" {
		t.Errorf("got %q", got)
	}
}

// TestDictionaries: what is encoded against an earlier version is short, begins with its
// hash, and decodes with it.
func TestDictionaries(t *testing.T) {
	before := records(100_000)
	now := bytes.Replace(before, []byte("Springfield"), []byte("Shelbyville"), 20)
	e := NewEncoders(1 << 30)
	s := NewShelf(e)
	s.SetBudget(1 << 20)
	s.Add("https://a", before)
	hash := Hash(sha256.Sum256(before))
	d := s.Find("https://a", hash)
	if d == nil || s.Find("https://b", hash) != nil || s.Find("http://a", hash) != nil {
		t.Fatal("a dictionary is found for its origin, and for no other")
	}
	for _, c := range []Coding{DCB, DCZ} {
		for level := 1; level <= Highest(c); level++ {
			for range 2 { // the second is by an encoder that was used
				var out collect
				enc := e.GetWith(d, c, level, -1, &out)
				for _, p := range [][]byte{now[:30_000], now[30_000:]} {
					if err := enc.Write(p); err != nil {
						t.Fatal(err)
					}
					if err := enc.Flush(); err != nil {
						t.Fatal(err)
					}
				}
				if err := enc.Close(); err != nil {
					t.Fatal(err)
				}
				enc.Release()
				b, ok := bytes.CutPrefix(out.Bytes(), append([]byte(magic[c]), hash[:]...))
				if !ok || len(b) > 4000 {
					t.Errorf("%s %d: %d octets, of a difference of few: %x", c, level, len(b), out.Bytes()[:40])
				}
				if got, err := decodeWith(c, b, before); err != nil || !bytes.Equal(got, now) {
					t.Errorf("%s %d: %d octets came back: %v", c, level, len(got), err)
				}
			}
		}
	}
	if e.Used() != 0 {
		t.Errorf("%d bytes are counted after all were released", e.Used())
	}
}

func decodeWith(c Coding, b, dictionary []byte) ([]byte, error) {
	if c == DCB {
		r, err := brrr.NewReaderOptions(bytes.NewReader(b), brrr.ReaderOptions{Dictionaries: [][]byte{dictionary}})
		if err != nil {
			return nil, err
		}
		return io.ReadAll(r)
	}
	r, err := zstd.NewReader(bytes.NewReader(b), zstd.WithDecoderDictRaw(0, dictionary), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

func TestShelf(t *testing.T) {
	s := NewShelf(NewEncoders(0))
	add := func(name string) Hash {
		body := []byte(name + strings.Repeat("x", 1000))
		s.Add("o", body)
		return sha256.Sum256(body)
	}
	s.SetBudget(3 * dictionaryCost(1001))
	a, b, c := add("a"), add("b"), add("c")
	s.Find("o", a)
	d := add("d") // b is the one that was used least recently
	if s.Find("o", a) == nil || s.Find("o", b) != nil || s.Find("o", c) == nil || s.Find("o", d) == nil {
		t.Error("another one made room")
	}
	used := s.Used()
	add("d")
	s.Add("o", nil)
	s.Add("o", make([]byte, MaxDictionary+1))
	if s.Used() != used || used != 3*dictionaryCost(1001) {
		t.Errorf("%d bytes are used, want %d", s.Used(), used)
	}
	s.SetBudget(0)
	if s.Used() != 0 || s.Find("o", a) != nil {
		t.Error("a shelf without a budget keeps something")
	}
}

func TestNegotiateWithDictionary(t *testing.T) {
	f := func(lines string, req []string, dictionary bool, want Coding) {
		t.Helper()
		p := policy(t, lines+"\ndictionary = \"/*\"")
		got := p.Judge(request(t, req...), response(t, "Content-Type: text/css"), dictionary).Coding
		if got != want {
			t.Errorf("%s %q %v: got %s, want %s", lines, req, dictionary, got, want)
		}
	}
	all := "Accept-Encoding: gzip, br, zstd, dcb, dcz"
	f("", []string{all}, true, DCZ)
	f("", []string{all}, false, Zstd)
	f(`algorithms = ["br"]`, []string{all}, true, DCB)
	f(`algorithms = ["gzip"]`, []string{all}, true, Gzip)
	f("", []string{"Accept-Encoding: gzip, br"}, true, Brotli)
	f("", []string{"Accept-Encoding: zstd, dcz;q=0.5"}, true, Zstd)
	f("", []string{"Accept-Encoding: dcb"}, true, DCB)
	f("", []string{all, "Sec-Fetch-Site: cross-site"}, true, Zstd)
}

// TestMayUseDictionary goes through the rules of RFC 9842 section 9.3.3.
func TestMayUseDictionary(t *testing.T) {
	f := func(want bool, allowed string, req ...string) {
		t.Helper()
		var in, out []message.Field
		for _, line := range req {
			name, value, _ := strings.Cut(line, ": ")
			in = append(in, field(name, value))
		}
		if allowed != "" {
			out = append(out, field("Access-Control-Allow-Origin", allowed))
		}
		if got := mayUseDictionary(in, out); got != want {
			t.Errorf("%q %q: got %v", req, allowed, got)
		}
	}
	const site, mode = "Sec-Fetch-Site: ", "Sec-Fetch-Mode: "
	f(true, "")
	f(true, "", site+"same-origin", mode+"no-cors")
	f(true, "", site+"none", mode+"navigate")
	f(true, "", site+"cross-site", mode+"navigate")
	f(true, "", site+"same-site")
	f(false, "", site+"cross-site")
	f(false, "", site+"same-site", mode+"no-cors") // another origin all the same
	f(false, "", site+"cross-site", mode+"no-cors")
	f(false, "", site+"cross-site", mode+"websocket")
	f(false, "", site+"cross-site", mode+"cors", "Origin: https://a")
	f(false, "*", site+"cross-site", mode+"cors")
	f(true, "*", site+"cross-site", mode+"cors", "Origin: https://a")
	f(true, "https://a", site+"cross-site", mode+"cors", "Origin: https://a")
	f(false, "https://b", site+"same-site", mode+"cors", "Origin: https://a")
}

// TestCollects: what becomes a dictionary, and what is one user's alone does not.
func TestCollects(t *testing.T) {
	p := policy(t, `dictionary = "/*"`)
	f := func(want bool, req string, res ...string) {
		t.Helper()
		r := request(t, req)
		if got := p.Collects(r, response(t, append(res, "Content-Type: text/css")...)); got != want {
			t.Errorf("%q %q: got %v", req, res, got)
		}
	}
	f(true, "X: y")
	f(true, "Cookie: a=b", "Cache-Control: max-age=60")
	f(false, "X: y", "Cache-Control: no-store")
	f(false, "X: y", "Cache-Control: max-age=60, private")
	f(false, "X: y", `Cache-Control: private="x"`)
	f(false, "X: y", "Vary: Origin, Cookie")
	f(false, "X: y", "Vary: Authorization")
	f(false, "X: y", "Vary: *")
	f(true, "X: y", "Vary: Accept-Encoding")
	f(false, "X: y", "Set-Cookie: a=b")
	f(false, "Authorization: Basic eA==", "Cache-Control: max-age=60")
	f(true, "Authorization: Basic eA==", "Cache-Control: max-age=60, public")
}
