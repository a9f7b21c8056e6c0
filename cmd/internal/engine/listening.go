package engine

import (
	"fmt"
	"slices"
	"strings"

	"weir/conf"
	"weir/l7"
)

// Listening is one address that the engine listens on.
type Listening struct {
	Layer string // l4, l7, admin
	Name  string // of the listener, "" for admin
	Addr  string // with the real port, or unix:/path
	Note  string // what is served there, for people
}

// Listeners returns every address in the order of the configuration, admin last.
func (e *Engine) Listeners() []Listening {
	cfg := e.Running().Config
	var all []Listening
	add := func(layer, shown, name, note string) {
		for _, addr := range e.l4.Addrs(name) {
			all = append(all, Listening{layer, shown, addr, note})
		}
	}
	for i := range cfg.L4 {
		add("l4", cfg.L4[i].Name, cfg.L4[i].Name, l4Note(&cfg.L4[i]))
	}
	for i := range cfg.L7 {
		c := &cfg.L7[i]
		note := "http"
		if c.TLS != nil {
			note = "https"
		}
		add("l7", c.Name, c.Name, note)
		add("l7", c.Name, l7.RedirectName(c.Name), "http, redirects to https")
	}
	note := "http, needs a token"
	switch addr := e.admin.Addr(); {
	case addr.Network == "unix":
		note = "http, for this user"
	case e.admin.TLS():
		note = "https, needs a token"
	}
	return append(all, Listening{Layer: "admin", Addr: e.admin.Addr().String(), Note: note})
}

func l4Note(c *conf.L4) string {
	switch {
	case len(c.Routes) == 0 && c.UDP():
		return "udp to pool " + c.Pool
	case len(c.Routes) == 0 && c.TLS != nil && c.Mode == "terminate":
		return "tls ended here, to pool " + c.Pool
	case len(c.Routes) == 0:
		return "tcp to pool " + c.Pool
	}
	note := "by " + l4Conditions(c) + ", " + count(len(c.Routes), "route")
	if c.Pool != "" {
		note += ", else pool " + c.Pool
	}
	return note
}

// l4Conditions says by what the routes choose: "server name and source".
func l4Conditions(c *conf.L4) string {
	var by []string
	for _, cond := range []struct {
		what string
		of   func(*conf.L4Route) []string
	}{
		{"server name", func(r *conf.L4Route) []string { return r.SNI }},
		{"ALPN", func(r *conf.L4Route) []string { return r.ALPN }},
		{"protocol", func(r *conf.L4Route) []string { return r.Protocol }},
		{"source", func(r *conf.L4Route) []string { return r.Source }},
	} {
		given := func(r conf.L4Route) bool { return len(cond.of(&r)) > 0 }
		if slices.ContainsFunc(c.Routes, given) {
			by = append(by, cond.what)
		}
	}
	if last := len(by) - 1; last > 0 {
		return strings.Join(by[:last], ", ") + " and " + by[last]
	}
	return strings.Join(by, "")
}

// count gives "1 route", "2 routes".
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
