package compress

import (
	"strings"
	"testing"

	"weir/conf"
	"weir/l7/message"
)

// policy makes the policy of a [l7.route.compress] with these lines.
func policy(t testing.TB, lines string) *Policy {
	t.Helper()
	c, err := conf.Parse("test.toml", []byte(`
[pool.app]
servers = ["127.0.0.1:1"]
[[l7]]
name = "web"
listen = ["127.0.0.1:0"]
[[l7.route]]
pool = "app"
[l7.route.compress]
`+lines))
	if err != nil {
		t.Fatal(err)
	}
	return New(c.L7[0].Routes[0].Compress)
}

func request(t testing.TB, lines ...string) *message.Request {
	t.Helper()
	req := new(message.Request)
	head := "GET / HTTP/1.1\r\nHost: a.example\r\n" + strings.Join(append(lines, "\r\n"), "\r\n")
	head = strings.ReplaceAll(head, "\r\n\r\n\r\n", "\r\n\r\n")
	if n, err := req.Parse([]byte(head), nil); n == 0 || err != nil {
		t.Fatalf("%q: %d %v", head, n, err)
	}
	return req
}

func response(t testing.TB, lines ...string) *message.Response {
	t.Helper()
	res := new(message.Response)
	head := "HTTP/1.1 200 OK\r\n" + strings.Join(append(lines, "\r\n"), "\r\n")
	head = strings.ReplaceAll(head, "\r\n\r\n\r\n", "\r\n\r\n")
	if n, err := res.Parse([]byte(head), []byte("GET"), nil); n == 0 || err != nil {
		t.Fatalf("%q: %d %v", head, n, err)
	}
	return res
}

func TestNegotiate(t *testing.T) {
	f := func(algorithms, accept, want string) {
		t.Helper()
		p := policy(t, "algorithms = "+algorithms)
		if got := p.negotiate(request(t, "Accept-Encoding: "+accept).Fields, false); got.String() != want {
			t.Errorf("%s, %s: got %s, want %s", algorithms, accept, got, want)
		}
	}
	const all = `["zstd", "br", "gzip"]`
	f(all, "gzip, deflate, br, zstd", "zstd")
	f(`["gzip", "br"]`, "gzip, deflate, br, zstd", "gzip")
	f(`["br"]`, "gzip, zstd", "identity")
	f(all, "gzip;q=0.9, br;q=0.8", "gzip")
	f(all, "gzip;q=0.8, br;q=0.8, zstd;q=0.799", "br")
	f(all, "*", "zstd")
	f(all, "*;q=0.5, gzip", "gzip")
	f(all, "gzip;q=0.5, identity", "identity")
	f(all, "gzip;q=0.5, identity;q=0.5", "gzip")
	f(all, "gzip;q=0.5, *", "zstd")
	f(all, "gzip, *;q=0", "gzip")
	f(all, "*;q=0", "identity")
	f(all, "identity;q=0", "identity") // nothing else is acceptable: better than no answer
	f(all, "", "identity")
}

func TestTypes(t *testing.T) {
	f := func(list, value string, want bool) {
		t.Helper()
		p := policy(t, list)
		if got := p.types.has([]byte(value)); got != want {
			t.Errorf("%s: %q: got %v", list, value, got)
		}
	}
	f("", "text/html", true)
	f("", "text/event-stream", true)
	f("", "TEXT/HTML ; charset=x", true)
	f("", "application/json", true)
	f("", "application/ld+json; profile=x", true)
	f("", "image/svg+xml", true)
	f("", "application/wasm", true)
	f("", "image/png", false)
	f("", "video/mp4", false)
	f("", "application/zip", false)
	f("", "application/octet-stream", false)
	f("", "application/grpc", false)
	f("", "application/grpc-web+json", false)
	f("", "", false)
	f("", ";", false)
	f("", "+json", false)
	f("", "text", false)
	f("", "text/"+strings.Repeat("x", 300), false)
	f(`types = ["*/*"]`, "image/png", true)
	f(`types = ["*/*"]`, "application/grpc+proto", false)
	f(`types = ["Application/X-Mine"]`, "application/x-mine", true)
	f(`types = ["application/x-mine"]`, "text/html", false)
	f(`types = ["+cbor"]`, "application/senml+cbor", true)
	f(`types = ["+cbor"]`, "application/a+cbor+json", false)
}

func TestDirectives(t *testing.T) {
	f := func(value string, want bool) {
		t.Helper()
		res := response(t, "Cache-Control: "+value)
		if got := hasDirective(res.Fields, "no-transform"); got != want {
			t.Errorf("%q: got %v", value, got)
		}
	}
	f("no-transform", true)
	f("max-age=1,No-Transform", true)
	f(`private="a, b" ,	no-transform`, true)
	f("no-transform=1", true)
	f(`a="\"", no-transform`, true)
	f("no-transformation", false)
	f(`a="no-transform"`, false)
	f(`a="x, no-transform"`, false)
	f(`a="x\", no-transform`, false)
	f("", false)
}

// TestJudge has what the tests of l7 do not: the settings.
func TestJudge(t *testing.T) {
	json := []string{"Content-Type: application/json", "Content-Length: 600"}
	f := func(lines string, req, res []string, want Coding, why Reason) {
		t.Helper()
		p := policy(t, lines)
		got := p.Judge(request(t, append(req, "Accept-Encoding: gzip")...), response(t, append(json, res...)...), false)
		if got.Coding != want || got.Reason != why || got.Varies != (why == Encoded) {
			t.Errorf("%q %q %q: got %s %q %v", lines, req, res, got.Coding, got.Reason, got.Varies)
		}
	}
	f("", nil, nil, Gzip, Encoded)
	f(`min_size = "600B"`, nil, nil, Gzip, Encoded)
	f(`min_size = "601B"`, nil, nil, Identity, Small)
	f("set_cookie = true", nil, []string{"Set-Cookie: a=b"}, Gzip, Encoded)
	f("cross_site = true", []string{"Cookie: a=b", "Sec-Fetch-Site: cross-site"}, nil, Gzip, Encoded)
}

func TestJudgeAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	p := policy(t, "")
	req := request(t, "Accept-Encoding: gzip, deflate, br, zstd", "Cookie: a=b", "Sec-Fetch-Site: same-origin")
	res := response(t, "Content-Type: application/vnd.api+json; charset=utf-8", `ETag: "v1"`, "Cache-Control: max-age=60")
	if n := testing.AllocsPerRun(100, func() {
		if v := p.Judge(req, res, false); v.Coding != Zstd {
			t.Fatal(v)
		}
	}); n != 0 {
		t.Errorf("%g allocations", n)
	}
}

func TestLevels(t *testing.T) {
	p := policy(t, "gzip_level = 6\nbr_level = 1")
	f := func(c Coding, steps, want int) {
		t.Helper()
		if got := p.Level(c, steps); got != want {
			t.Errorf("%s, %d steps: got %d, want %d", c, steps, got, want)
		}
	}
	f(Gzip, 0, 6)
	f(Gzip, 1, 5)
	f(Gzip, 4, 4)
	f(Gzip, maxSteps, 4)
	f(Brotli, 0, 1)
	f(Brotli, 3, 1)
	f(Zstd, 0, 2)
	f(Zstd, 9, 1)
	p = policy(t, "gzip_level = 3")
	f(Gzip, 0, 3)
	f(Gzip, 9, 3)
	for _, c := range Codings { // what the configuration offers is what there is
		want := map[Coding]int{Gzip: 9, Brotli: 7, Zstd: 3}[c.Base()]
		if got := Highest(c); got != want {
			t.Errorf("%s: the highest level is %d, want %d", c, got, want)
		}
	}
}

func TestGovernor(t *testing.T) {
	var g Governor
	f := func(percent, times, want int) {
		t.Helper()
		for range times {
			g.Observe(percent)
		}
		if got := g.Steps(); got != want {
			t.Errorf("after %d times %d %%: got %d steps, want %d", times, percent, got, want)
		}
	}
	f(100, 3, 0) // without a target
	g.SetTarget(80)
	f(79, 10, 0)
	f(80, 1, 1)
	f(100, 2, 3)
	f(70, 50, 3) // near the target it stays
	f(64, 4, 3)
	f(70, 1, 3) // and counts anew
	f(64, 5, 2)
	f(64, 5, 1)
	f(0, 4, 1)
	f(81, 1, 2)
	f(0, 100, 0)
	f(100, 100, maxSteps)
	g.Rest()
	f(70, 1, 0)
	f(100, 1, 1)
	g.SetTarget(0)
	f(100, 1, 0)
}

func TestWords(t *testing.T) {
	for _, c := range Codings {
		if codingNamed(c.String()) != c {
			t.Errorf("%s is not found by its name", c)
		}
	}
	seen := map[string]bool{"": true}
	for _, r := range Reasons() {
		if seen[r.String()] {
			t.Errorf("reason %d has no word of its own: %q", r, r)
		}
		seen[r.String()] = true
	}
}
