package l7

import (
	"log/slog"
	"testing"

	"weir/conf"
	"weir/l7/message"
	"weir/pool/accesslog"
	"weir/pool/backend"
	"weir/pool/metric"
)

// FuzzBuild builds what conf lets through and asks the table of routes: what passes the
// checks of a file must build, and no request may make it panic.
func FuzzBuild(f *testing.F) {
	const head = "[pool.app]\nservers = [\"127.0.0.1:1\"]\n[pool.b]\nservers = [\"127.0.0.1:2\"]\n" +
		"[[l7]]\nname = \"web\"\nlisten = [\"127.0.0.1:0\"]\n[[l7.route]]\n"
	for _, seed := range []string{
		"path = \"/a/{x}/b\"\npool = \"app\"\nrewrite_path = \"/{x}?u={x}&{query}\"\nrewrite_host = \"{x}.h\"\n",
		"path = \"~^/(?P<n>[a-z]+)/(.*)$\"\nredirect = { path = \"/{n}/{2}\" }\n",
		"path = \"/s/\"\nfiles = { root = \".\", precompressed = [\"br\"] }\nrewrite_path = \"/{rest}\"\n",
		"pool = \"app\"\nmirror = { pool = \"b\", percent = 5 }\nfault = { abort = 503, abort_percent = 1 }\n",
		"respond = { status = 204 }\nresponse_headers = { set = { A = \"{path}\" } }\nhost = [\"*.h\"]\n",
		"split = [{ pool = \"app\", weight = 1 }, { pool = \"b\", weight = 0 }]\nsticky = { cookie = \"c\" }\n",
		"pool = \"app\"\nheader = [\"A\", { name = \"B\", regex = \"^x\" }]\nquery = [{ name = \"q\", absent = true }]\n" +
			"cookie = [{ name = \"c\", exact = [\"1\"] }]\nsource = [\"10.0.0.0/8\", \"::/0\"]\nmethod = [\"GET\"]\n",
		"pool = \"app\"\nrequest_buffer = \"1KiB\"\nretry = { methods = [\"PUT\"], on = [\"503\"], tries = 3, hedge = 95 }\n",
	} {
		f.Add(head+seed, "GET /a/x%2E/b?u=1&q HTTP/1.1\r\nHost: x.h\r\nCookie: c=1; d\r\nA: 1\r\n\r\n")
	}
	log := slog.New(slog.DiscardHandler)
	metrics := metric.New()
	access, err := accesslog.Open(conf.AccessLog{Path: "off"}, metrics, log)
	if err != nil {
		f.Fatal(err)
	}
	s := New(Options{Log: log, Metrics: metrics, Access: access})
	reg := backend.New(backend.Options{Log: log, Metrics: metrics, OnDown: s.Drop})
	f.Cleanup(func() {
		s.Close()
		reg.Close()
		access.Close()
	})
	f.Fuzz(func(t *testing.T, config, request string) {
		c, err := conf.Parse("fuzz.toml", []byte(config))
		if err != nil || len(c.Pools) > 4 || len(c.L7) == 0 {
			return
		}
		for i := range c.L7 {
			if c.L7[i].TLS != nil { // its files may be gone by now
				return
			}
		}
		groups := func(name string) *backend.Group { return new(backend.Group) }
		snap, err := s.Build(c, groups)
		if err != nil {
			t.Fatalf("conf takes it, and it cannot be built: %v\n%s", err, config)
		}
		var x exchange
		if n, err := x.req.Parse([]byte(request), nil); n == 0 || err != nil {
			return
		}
		for _, l := range snap.listeners {
			if l.table == nil {
				continue
			}
			x.l = l
			x.fillLookup()
			if i, _ := l.table.Find(&x.lookup); i >= 0 {
				x.route = l.routes[i]
				x.rewriteAll(t)
			}
		}
	})
}

// rewriteAll fills in all templates of the route, and checks what comes out.
func (x *exchange) rewriteAll(t *testing.T) {
	a := x.route.act
	if a == nil {
		return
	}
	x.acted.reset()
	x.beginValues(a)
	if a.redirect != nil {
		x.redirectTo(a.redirect)
		if at := x.acted.location; len(at) > 1 && at[0] == '/' && at[1] == '/' {
			t.Fatalf("a redirect to another host: %q", at)
		}
	}
	if v := x.rewrite(a); v != next {
		return
	}
	for _, b := range [][]byte{
		x.acted.target, x.acted.host, x.acted.location,
		a.request.append(nil, &x.acted.values), a.response.append(nil, &x.acted.values),
	} {
		for i, c := range b {
			if c == 0 || c == '\n' && (i == 0 || b[i-1] != '\r') {
				t.Fatalf("a control character in %q", b)
			}
		}
	}
	if x.acted.target != nil {
		line := append(append([]byte("GET "), x.acted.target...), " HTTP/1.1\r\nHost: h\r\n\r\n"...)
		var r message.Request
		if n, err := r.Parse(line, &x.l.limits); err != nil && len(line) < 8<<10 || n > len(line) {
			t.Fatalf("the server gets what no client may send: %q: %v", line, err)
		}
	}
}
