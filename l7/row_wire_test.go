package l7

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"
	"testing"
	"time"
)

// TestRow20_SlowBody: an upload below the rate ends with 408 and is broken off at
// the backend; one that keeps the rate lasts many times the grace.
func TestRow20_SlowBody(t *testing.T) {
	t.Parallel()
	got := make(chan string, 1)
	o := newHTTPOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		got <- fmt.Sprint(len(b), " ", err == nil)
	})
	r := newRig(t, strings.Replace(plain, "listen =", "body_grace = \"500ms\"\nbody_min_rate = \"1KiB\"\nlisten =", 1), o.addr)
	upload := func(size, piece int, every time.Duration) *client {
		c := r.dial()
		c.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", size)
		for left := size; left > 0; left -= piece {
			if _, err := c.Write(make([]byte, min(piece, left))); err != nil {
				return c // Weir has ended it
			}
			time.Sleep(every)
		}
		return c
	}
	slow := upload(100_000, 1, 20*time.Millisecond)
	if res, _, err := slow.response("POST"); err != nil || res.StatusCode != 408 || !res.Close {
		t.Errorf("a slow upload gets %v %v, want 408 and a close", res.Status, err)
	}
	if body := <-got; strings.HasSuffix(body, "true") {
		t.Errorf("the backend takes %s octets for a whole body", body)
	}
	steady := upload(100_000, 1000, 25*time.Millisecond) // 2.5 seconds, at 40 KiB/s
	if res, _, err := steady.response("POST"); err != nil || res.StatusCode != 200 {
		t.Errorf("a steady upload gets %v %v, want 200", res.Status, err)
	}
	if body := <-got; body != "100000 true" {
		t.Errorf("the backend gets %s", body)
	}
}

// spellings are ways to write target with dot segments, escapes, doubled slashes
// and parameters in front of it or inside.
func spellings(target string) []string {
	var out []string
	for _, dot := range []string{
		"..", ".", "%2e%2e", "%2E.", ".%2e", "%2e", "..;", "..;a=b", ".;x", "%2e%2e;", "..%2f", "..%5c", `..\`,
		"%252e%252e", "..%00", "..%3b", "...", "..%c0%af", "%c0%ae%c0%ae", "..%ef%bc%8f",
	} {
		for _, form := range []string{"/a/%s%s", "/%s%s", "//%s%s", "/a;p/%s%s", "/open/a/%s/..%s", "/%%61/%s%s"} {
			out = append(out, fmt.Sprintf(form, dot, target))
		}
	}
	for i := 1; i < len(target); i++ { // each octet as an escape, in both cases
		out = append(out, fmt.Sprintf("%s%%%02x%s", target[:i], target[i], target[i+1:]),
			fmt.Sprintf("%s%%%02X%s", target[:i], target[i], target[i+1:]))
	}
	return append(out, "/"+target, "//"+target, target+"/", target+"//", target+"/.", target+"%20", target+"%00",
		target+";x", target+"%2f", target+"?/../", strings.ToUpper(target), target+`\`, "/"+target+"/..", target+"%09")
}

// TestRow30_PathBypass sends every spelling to a listener with one route for a
// guarded path and one for all others. What reaches the other route must not mean
// the guarded path to anybody who decodes and resolves it once.
func TestRow30_PathBypass(t *testing.T) {
	t.Parallel()
	answer := func(name string) *origin {
		return newHTTPOrigin(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, name+" "+r.RequestURI) })
	}
	r := newRig(t, `
[pool.open]
servers = ["%s"]
[pool.guarded]
servers = ["%s"]
[[l7]]
name = "web"
listen = ["127.0.0.1:0"]
[[l7.route]]
pool = "open"
[[l7.route]]
path = "/admin/"
pool = "guarded"
`, answer("open").addr, answer("guarded").addr)
	list := spellings("/admin/users")
	if len(list) < 150 {
		t.Errorf("only %d spellings", len(list))
	}
	passed := 0
	for _, target := range list {
		c := r.dial()
		c.send("GET %s HTTP/1.1\r\nHost: www.example.com\r\nConnection: close\r\n\r\n", target)
		res, body, err := c.response("GET")
		c.Close()
		switch {
		case err != nil:
			t.Errorf("%q: %v", target, err)
		case res.StatusCode == 400:
			continue
		}
		passed++
		pool, sent, _ := strings.Cut(body, " ")
		if sent != target {
			t.Errorf("%q reaches the backend as %q", target, sent)
		}
		if want := poolByMeaning(t, target); pool != want {
			t.Errorf("%q goes to the pool %s, means %s", target, pool, want)
		}
	}
	if passed < 20 {
		t.Errorf("only %d spellings are taken at all", passed)
	}
}

// poolByMeaning decodes and resolves a target as a careless backend would.
func poolByMeaning(t *testing.T, target string) string {
	u, err := url.ParseRequestURI(target)
	if err != nil {
		t.Fatalf("%q is taken, net/url says %v", target, err)
	}
	// Slashes in a row stay: whether they are one is the backend's own affair, and
	// Weir passes them on as they are.
	if strings.Contains(u.Path, "//") {
		return map[bool]string{true: "guarded", false: "open"}[strings.HasPrefix(u.Path, "/admin/")]
	}
	p := path.Clean(u.Path)
	if p == "/admin" || strings.HasPrefix(p, "/admin/") {
		return "guarded"
	}
	return "open"
}
