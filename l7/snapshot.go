package l7

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"weir/conf"
	"weir/l7/compress"
	"weir/l7/message"
	"weir/l7/route"
	"weir/l7/upstream"
	"weir/pool/backend"
	"weir/pool/cert"
	"weir/pool/metric"
)

// Snapshot is everything that the configuration says about L7, built and checked,
// ready to be applied. It never changes; what it counts lives in the registry.
type Snapshot struct {
	listeners map[string]*listener
	cache     *conf.Cache
	compress  *conf.Compression
}

// listener is one [[l7]] of a snapshot.
type listener struct {
	name     string
	conf     *conf.L7
	limits   message.Limits
	front    *cert.TLS   // nil: plain
	tls      *tls.Config // of front
	certs    *cert.Store // of front
	table    *route.Table
	routes   []*routeState
	connects []connectRule // none: CONNECT is refused
	trusted  []netip.Prefix
	redirect *listener // where this one only sends to https: the listener that serves it
	caches   bool      // one of its routes has a cache
	port     string    // ":8443", the public port of a TLS listener, "" for 443 or unknown

	requestsNone [statusClasses]*metric.Counter // requests without a route
	active       *metric.Gauge
	tunnels      *metric.Gauge
	requests     *metric.Gauge
	received     *metric.Counter
	sent         *metric.Counter
	codings      codingCounters
	stages       stages
}

// routeState is one [[l7.route]] with what it needs at run time.
type routeState struct {
	name     string // for logs and metrics
	conf     *conf.L7Route
	pool     string
	group    *backend.Group
	split    *split // of which this is one side; nil: the one pool
	names    *privateNames
	hidden   []string // response fields that are not sent on, lower case
	undated  bool     // Date is one of them, and is not added
	hashKey  hashKey  // what chooses a server of the pool
	pinning  *pinning // nil: no cookie keeps clients on one
	again    again
	body     int64            // largest request body, 0: no limit
	act      *action          // what the route does beside its pool; nil: nothing
	cache    *routeCache      // nil: nothing is stored
	compress *compress.Policy // nil: responses are sent as they are
	rides    bool             // nothing of it waits for anything but its pool; see lane

	requests  [statusClasses]*metric.Counter
	seconds   *metric.Histogram
	retries   *metric.Counter
	denied    *metric.Counter
	truncated *metric.Counter
	hedges    *metric.Counter
	hedgesWon *metric.Counter

	latency *upstream.Latency // of the pool
}

// stages are the sampled histograms of one exchange.
type stages struct {
	accept, route, connect, firstByte, deliver *metric.Histogram
}

// statusClasses are none, 1xx, 2xx, 3xx, 4xx and 5xx.
const statusClasses = 6

var statusClass = [statusClasses]string{"none", "1xx", "2xx", "3xx", "4xx", "5xx"}

// RedirectName is the name under which connections of the redirect addresses of
// an L7 listener are handed over. No configured name can be equal to it.
func RedirectName(listener string) string { return listener + " redirect" }

// Build makes a snapshot of the listeners of a configuration. groups finds the pool of
// a name; a name it does not know is an error, as is a certificate that cannot be
// loaded. Nothing is served until Apply.
func (s *Server) Build(c *conf.Config, groups func(string) *backend.Group) (*Snapshot, error) {
	snap := &Snapshot{listeners: make(map[string]*listener, len(c.L7)), cache: &c.Cache, compress: &c.Compress}
	for i := range c.L7 {
		l, err := s.buildListener(&c.L7[i], c.Pools, groups)
		if err != nil {
			return nil, fmt.Errorf("cannot build l7 listener %q: %w", c.L7[i].Name, err)
		}
		snap.listeners[l.name] = l
		if len(l.conf.Redirect) > 0 {
			r := s.newListener(RedirectName(l.name), l.conf)
			r.redirect = l
			snap.listeners[r.name] = r
		}
	}
	return snap, nil
}

func (s *Server) newListener(name string, c *conf.L7) *listener {
	m := s.metrics
	l := &listener{
		name: name, conf: c,
		limits: message.Limits{
			MaxHead: int(c.MaxHeaderBytes), MaxFields: c.MaxHeaderFields, MaxURI: int(c.MaxURI),
			AllowEncodedSlash: c.Paths == "allow_encoded_slash",
		},
		active:   m.Gauge(metric.L7Active, name),
		tunnels:  m.Gauge(metric.L7Tunnels, name),
		requests: m.Gauge(metric.L7ActiveRequests, name),
		received: m.Counter(metric.L7ReceivedBytes, name),
		sent:     m.Counter(metric.L7SentBytes, name),
		codings:  newCodingCounters(m, name),
		stages: stages{
			accept:    m.Histogram(metric.StageSeconds, "l7", "accept"),
			route:     m.Histogram(metric.StageSeconds, "l7", "route"),
			connect:   m.Histogram(metric.StageSeconds, "l7", "connect"),
			firstByte: m.Histogram(metric.StageSeconds, "l7", "first_byte"),
			deliver:   m.Histogram(metric.StageSeconds, "l7", "deliver"),
		},
	}
	for i, class := range statusClass {
		l.requestsNone[i] = m.Counter(metric.L7Requests, name, "none", class)
	}
	return l
}

func (s *Server) buildListener(
	c *conf.L7, pools []conf.Pool, groups func(string) *backend.Group,
) (*listener, error) {
	l := s.newListener(c.Name, c)
	for _, cidr := range c.TrustedProxies {
		p, err := netip.ParsePrefix(cidr)
		if err != nil {
			return nil, fmt.Errorf("cannot use trusted proxy %q: %w", cidr, err)
		}
		l.trusted = append(l.trusted, p.Masked())
	}
	if c.TLS != nil {
		if err := l.buildTLS(s.snapshot.Load().listeners[l.name], s.log.Warn); err != nil {
			return nil, err
		}
	}
	for i := range c.Routes {
		r, err := s.buildRoute(l, &c.Routes[i], pools, groups)
		if err != nil {
			return nil, fmt.Errorf("cannot build route %d: %w", i+1, err)
		}
		l.routes = append(l.routes, r)
	}
	table, err := route.Build(c.Routes)
	if err != nil {
		return nil, err
	}
	l.table = table
	if err := s.buildConnects(l, pools, groups); err != nil {
		return nil, fmt.Errorf("cannot build connect: %w", err)
	}
	return l, nil
}

// buildTLS loads the certificates, or keeps what the listener had, where that is the
// same: clients then go on resuming their sessions. One that has expired is served all the same:
// clients then say what is wrong, where a refused start would say nothing to them.
func (l *listener) buildTLS(old *listener, warn func(string, ...any)) error {
	var before *cert.TLS
	if old != nil {
		before = old.front
	}
	front, err := cert.Server(&conf.L4TLS{
		Certs: l.conf.TLS.Certs, MinVersion: l.conf.TLS.MinVersion, ALPN: []string{"http/1.1"},
	}, before)
	if err != nil {
		return err
	}
	if err := front.Store.Check(time.Now()); err != nil {
		warn("certificate is not valid now", "listener", l.name, "err", err)
	}
	l.front, l.tls, l.certs = front, front.Config, front.Store
	if len(l.conf.Listen) > 0 && l.conf.Listen[0].Network == "tcp" && l.conf.Listen[0].Port != 443 {
		l.port = fmt.Sprintf(":%d", l.conf.Listen[0].Port)
	}
	return nil
}

// buildRoute builds a route; one with a split stands for all of its sides until
// takeSide has chosen.
func (s *Server) buildRoute(
	l *listener, c *conf.L7Route, pools []conf.Pool, groups func(string) *backend.Group,
) (*routeState, error) {
	act, err := s.buildAction(l, c, pools, groups)
	if err != nil {
		return nil, err
	}
	if len(c.Split) == 0 {
		return s.buildSide(l, c, c.Pool, act, pools, groups)
	}
	sp, err := newSplit(c, func(pool string) (*routeState, error) {
		return s.buildSide(l, c, pool, act, pools, groups)
	})
	if err != nil {
		return nil, err
	}
	for _, side := range sp.sides {
		side.split = sp
	}
	return sp.sides[0], nil
}

// buildSide builds a route that leads to one pool, or, where that is "", to what its
// action answers with.
func (s *Server) buildSide(
	l *listener, c *conf.L7Route, pool string, act *action, pools []conf.Pool, groups func(string) *backend.Group,
) (*routeState, error) {
	r := &routeState{
		name: routeName(c), conf: c, pool: pool, act: act,
		again: newAgain(&c.Retry), body: int64(c.MaxBody),
	}
	if r.body == 0 {
		r.body = int64(l.conf.MaxBody)
	}
	for _, h := range slices.Concat(l.conf.HideHeaders, c.HideHeaders) {
		r.hidden = append(r.hidden, strings.ToLower(h))
	}
	if c.Compress != nil {
		r.compress = compress.New(c.Compress)
	}
	m := s.metrics
	for i, class := range statusClass {
		r.requests[i] = m.Counter(metric.L7Requests, l.name, r.name, class)
	}
	r.seconds = m.Histogram(metric.L7RequestSeconds, l.name, r.name)
	if pool != "" {
		if err := s.buildPool(r, pools, groups); err != nil {
			return nil, err
		}
	}
	if act != nil {
		r.hidden = append(r.hidden, act.response.drop...)
	}
	r.undated = r.hides([]byte("date"))
	if err := s.buildCache(l, r); err != nil {
		return nil, err
	}
	r.rides = r.canRide()
	return r, nil
}

// buildPool gives a route its pool, where it has one.
func (s *Server) buildPool(r *routeState, pools []conf.Pool, groups func(string) *backend.Group) error {
	at := slices.IndexFunc(pools, func(p conf.Pool) bool { return p.Name == r.pool })
	r.group = groups(r.pool)
	if at < 0 || r.group == nil {
		return fmt.Errorf("cannot find pool %q", r.pool)
	}
	host := ""
	if !r.conf.RewriteHost.HasVariables() {
		host = r.conf.RewriteHost.Text
	}
	r.names = newPrivateNames(pools[at].Servers, host)
	r.hashKey = newHashKey(&pools[at])
	r.pinning = newPinning(&pools[at], s.metrics)
	s.showTransport(r.pool)
	r.retries = s.metrics.Counter(metric.L7Retries, r.pool)
	r.denied = s.metrics.Counter(metric.L7RetriesDenied, r.pool)
	r.truncated = s.metrics.Counter(metric.L7Truncated, r.pool)
	r.hedges = s.metrics.Counter(metric.L7Hedges, r.pool)
	r.hedgesWon = s.metrics.Counter(metric.L7HedgesWon, r.pool)
	r.latency = s.transport.Latency(r.pool)
	return nil
}

// routeName is the route's name; a configuration made in memory may have none.
func routeName(c *conf.L7Route) string {
	if c.Name == "" {
		return c.DerivedName()
	}
	return c.Name
}

// isTrusted reports whether addr is one of the trusted proxies.
func (l *listener) isTrusted(addr netip.Addr) bool {
	addr = addr.Unmap()
	for _, p := range l.trusted {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// hides reports whether a response field is not to be sent on.
func (r *routeState) hides(name []byte) bool {
	for _, h := range r.hidden {
		if message.EqualFold(name, h) {
			return true
		}
	}
	return false
}

// publish shows the expiry of the certificates of next, and drops what s alone had.
func (s *Snapshot) publish(next *Snapshot, m *metric.Registry) {
	for name, l := range s.listeners {
		if now := next.listeners[name]; l.certs != nil && (now == nil || now.certs == nil) {
			cert.Publish(m, name, l.certs, nil)
		}
	}
	for name, l := range next.listeners {
		if l.certs == nil {
			continue
		}
		var before *cert.Store
		if old := s.listeners[name]; old != nil {
			before = old.certs
		}
		cert.Publish(m, name, before, l.certs)
	}
}

// showTransport shows the numbers that the transport keeps for the pool.
func (s *Server) showTransport(pool string) {
	m, t := s.metrics, s.transport
	m.CounterFunc(metric.L7UpstreamConnects, func() uint64 { return t.Stats(pool).Dials }, pool, "ok")
	m.CounterFunc(metric.L7UpstreamConnects, func() uint64 { return t.Stats(pool).Failures }, pool, "failed")
	m.CounterFunc(metric.L7UpstreamReuses, func() uint64 { return t.Stats(pool).Reuses }, pool)
	m.CounterFunc(metric.L7UpstreamStale, func() uint64 { return t.Stats(pool).Stale }, pool)
	m.GaugeFunc(metric.L7UpstreamIdle, func() float64 { return float64(t.Stats(pool).Idle) }, pool)
}
