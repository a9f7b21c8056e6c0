package l7

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// newSplitRig serves /c by cookie and /h by header from "old" and "new", /r by neither.
func newSplitRig(t *testing.T) *rig {
	named := func(name string) string {
		return newHTTPOrigin(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Add("Set-Cookie", "theirs=1")
			fmt.Fprint(w, name)
		}).addr
	}
	return newRig(t, `
[pool.old]
servers = ["%s"]
[pool.new]
servers = ["%s"]
[[l7]]
name = "web"
listen = ["127.0.0.1:0"]
[[l7.route]]
path = "/c"
split = [{ pool = "old" }, { pool = "new" }]
sticky = { cookie = "side", max_age = "1h" }
[[l7.route]]
path = "/h"
split = [{ pool = "old" }, { pool = "new" }]
sticky = { header = "X-User" }
[[l7.route]]
path = "/r"
split = [{ pool = "old", weight = 0 }, { pool = "new", weight = 3 }]
`, named("old"), named("new"))
}

// ask sends a GET with further fields.
func (c *client) ask(path, fields string) (*http.Response, string) {
	c.t.Helper()
	c.send("GET %s HTTP/1.1\r\nHost: www.example.com\r\n%s\r\n", path, fields)
	res, body, err := c.response("GET")
	if err != nil {
		c.t.Fatal(err)
	}
	return res, body
}

func TestSplitSticksByCookie(t *testing.T) {
	c := newSplitRig(t).dial()
	sides := map[string]int{}
	for range 40 {
		res, side := c.ask("/c", "")
		sides[side]++
		cookies := res.Header["Set-Cookie"]
		if len(cookies) != 2 || cookies[0] != "theirs=1" {
			t.Fatalf("got cookies %q", cookies)
		}
		value, attributes, _ := strings.Cut(cookies[1], ";")
		if want := " Path=/; HttpOnly; SameSite=Lax; Max-Age=3600"; attributes != want {
			t.Fatalf("got attributes %q, want %q", attributes, want)
		}
		for range 3 {
			res, again := c.ask("/c", "Cookie: a=b; "+value+"\r\n")
			if again != side || len(res.Header["Set-Cookie"]) != 1 {
				t.Fatalf("%s: first %s, then %s with cookies %q", value, side, again, res.Header["Set-Cookie"])
			}
		}
	}
	if sides["old"] == 0 || sides["new"] == 0 {
		t.Errorf("40 clients went to %v", sides)
	}
}

func TestSplitSticksByHeader(t *testing.T) {
	c := newSplitRig(t).dial()
	sides := map[string]string{}
	for i := range 100 {
		user := fmt.Sprint("user-", i%20)
		res, side := c.ask("/h", "X-User: "+user+"\r\n")
		if before := sides[user]; before != "" && before != side {
			t.Fatalf("%s went to %s, then to %s", user, before, side)
		}
		if len(res.Header["Set-Cookie"]) != 1 {
			t.Fatalf("got cookies %q", res.Header["Set-Cookie"])
		}
		sides[user] = side
	}
	count := map[string]int{}
	for _, side := range sides {
		count[side]++
	}
	if count["old"] == 0 || count["new"] == 0 {
		t.Errorf("20 users went to %v", count)
	}
	// Without the field every request is drawn anew.
	count = map[string]int{}
	for range 60 {
		_, side := c.ask("/h", "")
		count[side]++
	}
	if count["old"] == 0 || count["new"] == 0 {
		t.Errorf("60 requests went to %v", count)
	}
}

func TestSplitOfWeightZero(t *testing.T) {
	c := newSplitRig(t).dial()
	for range 30 {
		if _, side := c.ask("/r", ""); side != "new" {
			t.Fatalf("a request went to %s, whose weight is 0", side)
		}
	}
}

// TestRoutedByWhatIsSentOn: fields that are dropped on the way cannot choose the route.
func TestRoutedByWhatIsSentOn(t *testing.T) {
	o := newHTTPOrigin(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Host) })
	c := newRig(t, `
[pool.app]
servers = ["%s"]
[[l7]]
name = "web"
listen = ["127.0.0.1:0"]
[[l7.route]]
rewrite_host = "internal"
header = [{ name = "X-Internal", exact = ["1"] }]
pool = "app"
[[l7.route]]
rewrite_host = "forwarded"
header = ["X-Forwarded-Port"]
pool = "app"
[[l7.route]]
rewrite_host = "elsewhere"
source = ["192.0.2.0/24"]
pool = "app"
[[l7.route]]
rewrite_host = "rest"
pool = "app"
`, o.addr).dial()
	f := func(fields, want string) {
		t.Helper()
		if _, got := c.ask("/", fields); got != want {
			t.Errorf("%q: got %s, want %s", fields, got, want)
		}
	}
	f("X-Internal: 1\r\n", "internal")
	f("x-internal: 1\r\nX-Internal: 2\r\n", "internal")
	f("X-Internal: 1\r\nConnection: X-Internal\r\n", "rest")
	f("X_Internal: 1\r\n", "rest")
	f("X-Forwarded-Port: 443\r\n", "rest")
	f("X-Forwarded-For: 192.0.2.1\r\n", "rest")
}
