package l7

import (
	"errors"
	"fmt"
	"math"
	"net/netip"

	"weir/conf"
	"weir/l4/loop"
	"weir/l7/message"
	"weir/pool/backend"
)

// Question is a request that Explain is asked about.
type Question struct {
	Listener string // its name, or that of its redirect addresses: see RedirectName
	Head     []byte // the head as it would be sent
	Client   netip.AddrPort
	SNI      string // of the client's TLS hello, lower case; "": none
}

// Explanation says what Weir would do with a request.
type Explanation struct {
	Listener string `json:"listener"`
	// Status is what Weir answers by itself; 0: the request goes to a pool, or to files.
	Status   int    `json:"status,omitempty"`
	Reason   string `json:"reason,omitempty"` // why, as in the access log
	Text     string `json:"text,omitempty"`   // the same in words, where there are some
	Location string `json:"location,omitempty"`
	Allow    string `json:"allow,omitempty"`

	Route  string         `json:"route,omitempty"`  // the one taken
	Routes []RouteOutcome `json:"routes,omitempty"` // all, in their order for this request

	// Action is what the route does in place of a pool: redirect, respond or files.
	Action string `json:"action,omitempty"`
	// Pools are where the request may go: one, unless the side of a split is drawn.
	Pools  []PoolChance `json:"pools,omitempty"`
	PoolBy string       `json:"pool_by,omitempty"` // what decided between the sides of a split
	// Cache is what the cache has to do with the request, in words; "": the route has none.
	Cache string `json:"-"`

	Acted

	// Coding is what a response is encoded with that is fit for it, "identity" for none;
	// "" where the route does not compress. Uncoded says why it is identity.
	Coding  string `json:"coding,omitempty"`
	Uncoded string `json:"uncoded,omitempty"`
}

// RouteOutcome is one route and why it was not taken.
type RouteOutcome struct {
	Route string `json:"route"`
	Taken bool   `json:"taken"`
	Stage string `json:"stage"` // what it failed in: host, path, method, source, condition; or matches
	Why   string `json:"why,omitempty"`
}

// PoolChance is a pool and how likely it is to get the request.
type PoolChance struct {
	Pool    string         `json:"pool"`
	Percent float64        `json:"percent"`
	Group   *backend.Group `json:"-"`

	// Hash is what chooses the server where the pool's balancer goes by one, and
	// HashOf what it was made of, in words.
	Hash   uint64 `json:"-"`
	HashOf string `json:"-"`

	// Pinned is the server that the request's cookie names, and Cookie says in words
	// what came of it; "": the pool keeps nobody by a cookie.
	Pinned *backend.Member `json:"-"`
	Cookie string          `json:"-"`
}

// Explain takes a request through the steps of an exchange up to the choice of the
// pool and what a server of it gets, with the code that serves connections, and says
// what came out and why. snap need not be in force. An error means that the snapshot has no such listener, or
// that the head is incomplete.
func (s *Server) Explain(snap *Snapshot, q Question) (*Explanation, error) {
	l := snap.listeners[q.Listener]
	if l == nil {
		return nil, fmt.Errorf("cannot find l7 listener %q", q.Listener)
	}
	x := &exchange{s: s, l: l, client: q.Client, scheme: "http"}
	x.c = &conn{s: s, name: l.name, from: loop.Handover{SNI: q.SNI}}
	if l.tls != nil {
		x.scheme = "https"
	}
	e := &Explanation{Listener: l.name}
	n, err := x.req.Parse(q.Head, &l.limits)
	if m, ok := errors.AsType[*message.Error](err); ok {
		e.Status, e.Reason, e.Text = m.Status, m.Reason, m.Text
		return e, nil
	}
	if n != len(q.Head) {
		return nil, fmt.Errorf("cannot read a request out of %d bytes: the head has %d", len(q.Head), n)
	}
	for i := stepCanonicalise; i <= stepGuard; i++ {
		v := steps[i].run(x)
		if i == stepRoute {
			e.Routes = x.outcomes()
		}
		if v != next {
			e.answered(x)
			break
		}
	}
	if x.route != nil {
		e.Route, e.Action = x.route.name, actionName(x.route.conf)
		if e.Status == 0 {
			e.act(x)
		}
		e.choosePool(x)
		e.Cache = x.explainCache()
		if p := x.route.compress; p != nil {
			c, why := p.JudgeRequest(&x.req, false)
			e.Coding, e.Uncoded = c.String(), why.String()
		}
	}
	return e, nil
}

// actionName names what a route does that has no pool.
func actionName(c *conf.L7Route) string {
	switch {
	case c.Redirect != nil:
		return "redirect"
	case c.Respond != nil:
		return "respond"
	case c.Files != nil:
		return "files"
	}
	return ""
}

// answered notes an answer of Weir's own.
func (e *Explanation) answered(x *exchange) {
	e.Status, e.Reason = x.reply.status, x.fault.reason
	e.Location, e.Allow = string(x.reply.location), string(x.reply.allow)
}

// outcomes says what became of each route, or for a CONNECT of what takes their place.
func (x *exchange) outcomes() []RouteOutcome {
	var list []RouteOutcome
	l, q := x.l, &x.lookup
	if x.req.Connect {
		return l.connectOutcomes(&x.req, x.client.Addr())
	}
	for _, o := range l.table.Explain(q) {
		list = append(list, RouteOutcome{
			Route: l.routes[o.Index].name, Taken: o.Why == "", Stage: o.Stage.String(), Why: o.Why,
		})
	}
	return list
}

// choosePool notes where the request goes. A side that is drawn is not decided by
// the request, so all that have a chance are told.
func (e *Explanation) choosePool(x *exchange) {
	sp := x.route.split
	if sp == nil {
		if x.route.group != nil {
			e.Pools = []PoolChance{x.chance(x.route, 100)}
		}
		return
	}
	name := "cookie " + sp.cookie
	if sp.cookie == "" {
		name = "header " + sp.header
	}
	point, sticks := x.stickyPoint(sp)
	switch {
	case sticks:
		side := sp.sides[sp.by.Side(point)]
		e.Pools, e.PoolBy = []PoolChance{x.chance(side, 100)}, name
		return
	case sp.cookie != "":
		e.PoolBy = "drawn, and kept in " + name
	case sp.header != "":
		e.PoolBy = "drawn, since " + name + " is missing"
	default:
		e.PoolBy = "drawn for each request"
	}
	for i, side := range sp.sides {
		if share := sp.by.Share(i); share > 0 {
			e.Pools = append(e.Pools, x.chance(side, math.Round(share*1e4)/100))
		}
	}
}

// chance says that the request goes to the pool of r, and what of the request chooses
// the server there.
func (x *exchange) chance(r *routeState, percent float64) PoolChance {
	c := PoolChance{Pool: r.pool, Percent: percent, Group: r.group}
	hash, has := x.hash(&r.hashKey)
	c.Hash, c.HashOf = hash, "client address "+x.behind().String()
	what := conf.HashBy{Of: r.hashKey.of, Name: r.hashKey.name}.String()
	switch {
	case has:
		c.HashOf = what
	case what != "" && what != "source":
		c.HashOf += ", since " + what + " is missing"
	}
	if p := r.pinning; p != nil {
		var has bool
		switch c.Pinned, has = x.pinned(r); {
		case c.Pinned != nil:
			c.Cookie = "cookie " + p.cookie + " names it"
		case has:
			c.Cookie = "cookie " + p.cookie + " names no server that takes work, and the answer sets it anew"
		default:
			c.Cookie = "cookie " + p.cookie + " is missing, and the answer sets it"
		}
	}
	return c
}
