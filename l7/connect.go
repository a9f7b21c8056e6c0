package l7

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"time"

	"weir/conf"
	"weir/l7/message"
	"weir/l7/upstream"
	"weir/pool/backend"
)

// connectRule is one [[l7.connect]]: who may have tunnels where to.
type connectRule struct {
	to      []connectTarget
	sources []netip.Prefix // none: every client
	route   *routeState    // what the tunnels count and log as, and lead to
}

// connectTarget is a host and a port that a CONNECT may name.
type connectTarget struct {
	host  string // canonical; where below is set, with the dot before it
	port  int
	under bool // every name that ends in host
}

// buildConnects makes the rules of a listener, in the order of the file.
func (s *Server) buildConnects(
	l *listener, pools []conf.Pool, groups func(string) *backend.Group,
) error {
	for i := range l.conf.Connects {
		c := &l.conf.Connects[i]
		rule := connectRule{}
		for _, to := range c.To {
			host := to[:strings.LastIndexByte(to, ':')]
			t := connectTarget{host: host, port: message.Port([]byte(to))}
			t.host, t.under = strings.CutPrefix(host, "*")
			rule.to = append(rule.to, t)
		}
		for _, cidr := range c.Source {
			p, err := netip.ParsePrefix(cidr)
			if err != nil {
				return err // a checked configuration has none
			}
			rule.sources = append(rule.sources, p)
		}
		var err error
		rule.route, err = s.buildSide(l, &conf.L7Route{
			Name: connectName(c), Pool: c.Pool, TunnelIdleTimeout: c.TunnelIdleTimeout,
		}, c.Pool, nil, pools, groups)
		if err != nil {
			return err
		}
		l.connects = append(l.connects, rule)
	}
	l.limits.AllowConnect = len(l.connects) > 0
	return nil
}

// connectName is what a rule is called where a route has its name. A route's own cannot
// be equal to it.
func connectName(c *conf.L7Connect) string { return "CONNECT " + strings.Join(c.To, ",") }

// findConnect is findRoute for a CONNECT.
func (x *exchange) findConnect() verdict {
	for i := range x.l.connects {
		if rule := &x.l.connects[i]; rule.why(&x.req, x.client.Addr()) == "" {
			x.route = rule.route
			x.c.finCancels.Store(false) // a FIN is the end of one direction
			return next
		}
	}
	v := x.refuse(403, message.Client, "connect_refused", nil)
	x.reply.text = "Tunnels to this address are not allowed."
	return v
}

// why says what keeps the rule from taking a CONNECT of this client, "" where nothing does.
func (r *connectRule) why(req *message.Request, client netip.Addr) string {
	port := message.Port(req.Authority)
	if !slices.ContainsFunc(r.to, func(t connectTarget) bool { return t.port == port && t.takes(req.Host) }) {
		return "to is " + r.route.name[len("CONNECT "):]
	}
	client = client.Unmap().WithZone("")
	if len(r.sources) > 0 && !slices.ContainsFunc(r.sources, func(p netip.Prefix) bool { return p.Contains(client) }) {
		return "source does not contain " + client.String()
	}
	return ""
}

func (t *connectTarget) takes(host []byte) bool {
	if !t.under {
		return string(host) == t.host
	}
	return len(host) > len(t.host) && bytes.HasSuffix(host, []byte(t.host))
}

// dialTunnel is attempt for a CONNECT: that there is a connection is all the answer.
func (x *exchange) dialTunnel() error {
	began := x.clock()
	up, _, err := x.connect(x.member, true)
	if err != nil {
		return err
	}
	if x.timed {
		x.stages.Connect = time.Since(began)
	}
	up.SetTimeouts(upstream.Timeouts{})
	x.attach(up)
	x.res.Reset()
	return nil
}

// acceptConnect prepares the head that begins the tunnel (RFC 9110 section 9.3.6): it
// has no framing.
func (x *exchange) acceptConnect() verdict {
	x.framing, x.status = message.None, 200
	head := message.AppendStatusLine(x.h.AvailableBuffer(), 200, []byte("Connection established"))
	x.head = append(x.appendDate(head), '\r', '\n')
	return next
}

// connectOutcomes says what became of each rule.
func (l *listener) connectOutcomes(req *message.Request, client netip.Addr) []RouteOutcome {
	var list []RouteOutcome
	taken := false
	for i := range l.connects {
		o := RouteOutcome{Route: l.connects[i].route.name, Stage: "condition", Why: l.connects[i].why(req, client)}
		switch {
		case o.Why == "" && taken:
			o.Stage, o.Why = "matches", "one before it matches too"
		case o.Why == "":
			o.Stage, o.Taken, taken = "matches", true, true
		}
		list = append(list, o)
	}
	return list
}
