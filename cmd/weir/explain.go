package main

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"weir/cmd/internal/engine"
	"weir/conf"
	"weir/l7"
)

type explainCmd struct {
	Config   string   `short:"c" required:"" placeholder:"FILE" help:"Configuration file."`
	Request  []string `arg:"" help:"The request: a URL, or a method and a URL, together or apart."`
	Header   []string `short:"H" sep:"none" placeholder:"FIELD" help:"A field, as 'name: value'. Can be repeated."`
	From     string   `default:"127.0.0.1" placeholder:"IP" help:"Address of the client (${default})."`
	Listener string   `placeholder:"NAME" help:"The listener that the request comes to, instead of that with the port."`
	All      bool     `help:"Show every route, also all those for other hosts."`
	JSON     bool     `name:"json" help:"Print the result as JSON, with every route."`
}

// Run prints what becomes of the request.
func (c *explainCmd) Run(o *output) error {
	ask, err := c.ask()
	if err != nil {
		return err
	}
	config, err := conf.Load(c.Config)
	if err != nil {
		return err
	}
	e, err := engine.Explain(config, ask)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(o.stdout, e)
	}
	return printText(o.stdout, explainText(e, c.All))
}

// ask reads the command line.
func (c *explainCmd) ask() (*engine.Ask, error) {
	words := strings.Fields(strings.Join(c.Request, " "))
	switch {
	case len(words) == 1:
		words = []string{"GET", words[0]}
	case len(words) != 2:
		return nil, errors.New("expected a URL, or a method and a URL, as in 'GET https://www.example.com/'")
	}
	from, err := netip.ParseAddr(c.From)
	if err != nil {
		return nil, fmt.Errorf("cannot use --from %q: expected an IP address", c.From)
	}
	return &engine.Ask{
		Method: words[0], URL: words[1], Fields: c.Header, From: from.Unmap(), Through: c.Listener,
	}, nil
}

// explainText is the form for people.
func explainText(e *engine.Explanation, every bool) string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-9s %s\n", name, fmt.Sprintf(format, args...))
	}
	line("request", "%s from %s", e.Request, e.From)
	if p := e.L4; p != nil {
		switch {
		case p.Closed:
			line("l4", "%s: no route, the connection is closed", p.Listener)
		case p.L7 != "":
			line("l4", "%s: route %s hands the connection over to %s", p.Listener, p.Route, p.L7)
		default:
			line("l4", "%s: the connection passes through to pool %s%s", p.Listener, p.Pool, byRoute(p.Route))
		}
	}
	if e.L7 != nil {
		explainL7(&b, line, e, every)
	}
	return b.String()
}

func byRoute(name string) string {
	if name == "" {
		return ""
	}
	return " by route " + name
}

func explainL7(b *strings.Builder, line func(name, format string, args ...any), e *engine.Explanation, every bool) {
	x := e.L7
	line("listener", "%s", x.Listener)
	if x.Route != "" {
		line("route", "%s", x.Route)
	} else if len(x.Routes) > 0 {
		line("route", "none")
	}
	explainRoutes(b, x.Routes, every)
	explainBefore(line, x)
	if x.Status != 0 {
		line("answer", "%s", answerText(x))
		explainResponse(line, x)
		return
	}
	for i, p := range x.Pools {
		chance := ""
		if x.PoolBy != "" {
			chance = fmt.Sprintf(" (%g %%, %s)", p.Percent, x.PoolBy)
		}
		line("pool", "%s%s", p.Pool, chance)
		explainBackend(line, &e.Backends[i])
	}
	explainSent(line, x)
	explainResponse(line, x)
	line("cache", "%s", e.Cache)
	switch {
	case x.Uncoded != "":
		line("coding", "%s (%s)", x.Coding, x.Uncoded)
	case x.Coding != "":
		line("coding", "%s, where type, size and fields of the response allow it", x.Coding)
	}
}

func answerText(x *l7.Explanation) string {
	parts := []string{fmt.Sprint(x.Status)}
	for _, part := range []struct{ label, value string }{
		{"", x.Reason}, {"", x.Text}, {"Location: ", x.Location}, {"Allow: ", x.Allow},
	} {
		if part.value != "" {
			parts = append(parts, part.label+part.value)
		}
	}
	return strings.Join(parts, ", ")
}

func explainBackend(line func(name, format string, args ...any), c *engine.BackendChoice) {
	if c.Breaker != "" {
		defer line("breaker", "%s", c.Breaker)
	}
	if c.Backend != "" {
		line("backend", "%s: %s", c.Backend, c.Why)
		return
	}
	line("backend", "%s", c.Why)
	if len(c.Servers) > 0 {
		line("", "one of %s", strings.Join(c.Servers, ", "))
	}
}

// maxOtherHosts is how many routes for other hosts are shown without --all.
const maxOtherHosts = 10

func explainRoutes(b *strings.Builder, list []l7.RouteOutcome, every bool) {
	others := 0
	for i := range list {
		r := &list[i]
		if r.Stage == "host" {
			if others++; others > maxOtherHosts && !every {
				continue
			}
		}
		mark, why := " ", ": "+r.Why
		if r.Taken {
			mark, why = ">", ""
		}
		fmt.Fprintf(b, "  %s %4d. %s%s\n", mark, i+1, r.Route, why)
	}
	if n := others - maxOtherHosts; n > 0 && !every {
		fmt.Fprintf(b, "          and %d more for other hosts (--all shows them)\n", n)
	}
}
