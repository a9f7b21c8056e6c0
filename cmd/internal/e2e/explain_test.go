package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"weir/cmd/internal/engine"
)

// TestExplainOfBinary: `weir explain` says what the running weir then does, down to
// the server where the request decides it, for requests that come to an [[l7]] and
// through an [[l4]]. The same for ten thousand requests is in package l7.
func TestExplainOfBinary(t *testing.T) {
	t.Parallel()
	w, web, edge := startExplained(t)
	r := rand.New(rand.NewPCG(3, 3))
	one := func(list ...string) string { return list[r.IntN(len(list))] }
	served := 0
	for range 200 {
		method := one("GET", "GET", "POST", "DELETE")
		url := "http://" + one(web, edge) + one("/", "/a", "/a/b", "/a/%62", "/u/1", "/u/1/2", "/b", "/c", "//a")
		url += one("", "?x=1", "?x=2&y", "?%78=1")
		fields := []string{"Host: " + one("a.example", "b.example", "x.b.example", "other")}
		for range r.IntN(3) {
			fields = append(fields, one("X-A: 1", "X-A: 2", "X-A: 1, 2", "Connection: X-A", "Cookie: side=1; n=2",
				"Cookie: side=5", "X-Forwarded-For: 10.0.0.1"))
		}
		e := explain(t, w, method, url, fields)
		status, pool, server := answered(t, method, url, fields)
		explained := fmt.Sprintf("%s %s %q:\nexplained %s\ngot %d from %s of pool %q", method, url, fields, e.text, status,
			server, pool)
		if e.L7.Status != 0 {
			if status != e.L7.Status {
				t.Fatal(explained)
			}
			continue
		}
		served++
		at := slices.IndexFunc(e.Backends, func(b engine.BackendChoice) bool { return b.Pool == pool })
		if status != 200 || at < 0 || e.Backends[at].Backend != "" && e.Backends[at].Backend != server {
			t.Fatal(explained)
		}
	}
	if served < 100 {
		t.Errorf("only %d of 200 requests were served", served)
	}
}

// startExplained starts weir with routes of every kind, and returns the addresses of
// its [[l7]] and its [[l4]].
func startExplained(t *testing.T) (w *weir, web, edge string) {
	named := func(pool string) string {
		s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(rw, "%s %s", pool, r.Context().Value(http.LocalAddrContextKey))
		}))
		t.Cleanup(s.Close)
		return strings.TrimPrefix(s.URL, "http://")
	}
	web, edge = freeAddr(t), freeAddr(t)
	w = startWeir(t, fmt.Sprintf(`
[pool.hashed]
servers = [%q, %q, %q]
balance = "source_hash"
keepalive = { idle_timeout = "1s" }
[pool.turns]
servers = [%q, %q]
keepalive = { idle_timeout = "1s" }
[pool.one]
servers = [%q]
keepalive = { idle_timeout = "1s" }
[[l4]]
name = "edge"
listen = [%q]
[[l4.route]]
protocol = ["http1"]
l7 = "web"
[[l7]]
name = "web"
listen = [%q]
route = [
  { host = ["a.example"], pool = "hashed" },
  { host = ["*.b.example"], path = "/a", pool = "one" },
  { host = ["b.example"], header = [{ name = "X-A", exact = ["1"] }], pool = "turns" },
  { host = ["b.example"], query = [{ name = "x", exact = ["1"] }], method = ["GET"], pool = "one" },
  { path = "/a", pool = "turns" },
  { path = "/a/b", source = ["127.0.0.0/8"], pool = "hashed" },
  { path = "/u/{id}", header = [{ name = "X-A", absent = true }], pool = "one" },
  { path = "/c", split = [{ pool = "hashed", weight = 2 }, { pool = "one" }], sticky = { cookie = "side" } },
  { path = "/b", method = ["POST"], pool = "one" },
]
`, named("hashed"), named("hashed"), named("hashed"), named("turns"), named("turns"), named("one"), edge, web))
	return w, web, edge
}

// explained is what weir explain --json printed.
type explained struct {
	engine.Explanation
	text string
}

func explain(t *testing.T, w *weir, method, url string, fields []string) explained {
	t.Helper()
	args := []string{"explain", "--json", "-c", w.file, method, url}
	for _, f := range fields {
		args = append(args, "-H", f)
	}
	code, out, errs := run(t, args...)
	e := explained{text: out}
	if err := json.Unmarshal([]byte(out), &e.Explanation); code != 0 || err != nil || e.L7 == nil {
		t.Fatalf("weir %q: code %d, %v\n%s%s", args, code, err, out, errs)
	}
	return e
}

// answered sends the request as explain has it, and returns who answered.
func answered(t *testing.T, method, url string, fields []string) (status int, pool, server string) {
	t.Helper()
	addr, rest, _ := strings.Cut(strings.TrimPrefix(url, "http://"), "/")
	p := dial(t, addr)
	p.send("%s /%s HTTP/1.1\r\n%s\r\n\r\n", method, rest, strings.Join(fields, "\r\n"))
	resp, err := p.response(method)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode == 200 {
		pool, server, _ = strings.Cut(string(body), " ")
		if _, _, err := net.SplitHostPort(server); err != nil {
			t.Fatalf("the backend answered %q", body)
		}
	}
	return resp.StatusCode, pool, server
}
