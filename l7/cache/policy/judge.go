package policy

import (
	"time"

	"weir/l7/message"
)

// Judge says whether the response to req may be stored, OK, or why not, and what there
// is to know about it. The request went out at requested, and the head of the response
// came in at received. The Meta is valid for a response that may not be stored too: its
// age and lifetime can be shown. It does not look at framing: that the body came whole
// is for the caller to see to (RFC 9111 section 3.3).
func Judge(cfg *Config, req *message.Request, res *message.Response, requested, received time.Time) (Meta, Reason) {
	f := gather(cfg, res.Fields, received.Unix())
	m := f.meta(cfg, res.Status, requested, received)
	if string(req.Method) != "GET" {
		return m, NotGet
	}
	if res.Status == 206 {
		return m, PartialContent
	}
	return m, f.mayStore(cfg, req, res.Fields, &m)
}

// mayStore is RFC 9111 section 3, in an order that gives the plainest reason.
func (f *facts) mayStore(cfg *Config, req *message.Request, fields []message.Field, m *Meta) Reason {
	status := int(m.Status)
	switch {
	case isForbidden(status):
		return StatusNotStored
	case !cfg.IgnoreRequest && ReadWish(cfg, req).NoStore:
		return RequestNoStore
	case f.mustUnderstand && !isUnderstood(status):
		return NotUnderstood
	case f.noStore && !f.mustUnderstand:
		return NoStore
	case f.private:
		return Private
	case f.setsCookie && !cfg.AllowSetCookie:
		return SetCookie
	case req.Has(message.Authorization) && !cfg.AllowAuthorization && !f.allowsAuthorization():
		return Authorization
	}
	var buf [256]byte
	names, ok := AppendVary(buf[:0], fields)
	if !ok || cfg.perClient(names) {
		return VaryStar
	}
	return f.isUseful(cfg, m)
}

// allowsAuthorization is RFC 9111 section 3.5.
func (f *facts) allowsAuthorization() bool {
	return f.mustRevalidate || f.public || f.sMaxAge != absent
}

// isUseful tells a response that could answer a request from one that never would.
func (f *facts) isUseful(cfg *Config, m *Meta) Reason {
	_, explicit := f.explicit(m.Received / int64(time.Second))
	_, negative := cfg.statusTTL(int(m.Status))
	validator := m.Flags&(HasETag|HasLastModified) != 0
	switch {
	case !explicit && !negative && !f.public && !isHeuristic(int(m.Status)):
		return NoFreshness
	case f.noCache && !validator:
		return NoValidator
	case m.Lifetime > m.InitialAge || validator || m.WhileRevalidate > 0 || m.OnError > 0:
		return OK
	case m.Lifetime == 0 && !explicit:
		return NoFreshness
	}
	return StaleOnArrival
}

// meta computes age and lifetime (RFC 9111 sections 4.2.1 to 4.2.3).
func (f *facts) meta(cfg *Config, status int, requested, received time.Time) Meta {
	m := Meta{
		Requested: min(requested.UnixNano(), received.UnixNano()), Received: received.UnixNano(),
		Date: f.usedDate(received.Unix()), LastModified: f.lastModified, Status: uint16(status),
	}
	// Date has whole seconds: a response made and received in the same one has no age.
	apparent := seconds(received.Unix() - m.Date)
	m.InitialAge = max(apparent, seconds(f.age)+time.Duration(min(m.Received-m.Requested, int64(seconds(maxDelta)))))
	life, said := f.lifetime(cfg, status, received.Unix(), m.InitialAge)
	m.Lifetime = life
	f.setFlags(&m, said)
	f.setWindows(cfg, &m)
	return m
}

// seconds converts a number of seconds, within 0 and maxDelta, to a Duration.
func seconds(n int64) time.Duration { return time.Duration(min(max(n, 0), maxDelta)) * time.Second }

// lifetime returns how old the response may get, and whether something said so. What
// the route says counts from when the response came in: its age comes on top.
func (f *facts) lifetime(cfg *Config, status int, received int64, age time.Duration) (life time.Duration, said bool) {
	sec, said := f.explicit(received)
	own, negative := cfg.statusTTL(status)
	open := f.public || isHeuristic(status)
	switch {
	case cfg.TTL > 0 && !negative && (said || open):
		life, said = age+cfg.TTL, true
	case said:
		life = seconds(sec)
	case negative:
		life, said = age+own, true
	case !open:
	case cfg.DefaultTTL > 0:
		life, said = age+cfg.DefaultTTL, true
	default:
		life = f.heuristic(cfg, received)
	}
	if cfg.MaxTTL > 0 {
		life = min(life, age+cfg.MaxTTL)
	}
	if cfg.MinTTL > 0 && (said || open) {
		life = max(life, age+cfg.MinTTL)
	}
	return min(life, 2*seconds(maxDelta)), said
}

// heuristic is a part of the time since the last change (RFC 9111 section 4.2.2).
func (f *facts) heuristic(cfg *Config, received int64) time.Duration {
	percent, most := int64(cfg.HeuristicPercent), cfg.HeuristicMax
	if percent == 0 {
		percent = defaultPercent
	}
	if most == 0 {
		most = defaultMax
	}
	if !f.hasLastModified || percent < 0 {
		return 0
	}
	since := seconds(f.usedDate(received) - f.lastModified)
	return min(since/100*time.Duration(min(percent, 100)), most)
}

func (f *facts) setFlags(m *Meta, said bool) {
	set := func(on bool, flag Flags) {
		if on {
			m.Flags |= flag
		}
	}
	set(f.noCache, NoCache)
	set(f.mustRevalidate || f.proxyRevalidate, MustRevalidate)
	set(f.sMaxAge != absent, SharedAge)
	set(f.immutable, Immutable)
	set(!said, Heuristic)
	set(f.staleWhileRevalidate >= 0, SaysRevalidate)
	set(f.staleIfError >= 0, SaysOnError)
	set(f.hasETag, HasETag)
	set(f.hasLastModified, HasLastModified)
	set(f.hasLastModified && f.hasDate && f.lastModified < f.date, StrongDate)
}

// setWindows sets for how long the response may be used when it is stale. Responses that
// must be validated have no such time; with s-maxage only what the response itself says
// counts: RFC 5861 is more specific than the ban that s-maxage brings along (RFC 9111
// section 5.2.2.10), and origins use both together to mean both.
func (f *facts) setWindows(cfg *Config, m *Meta) {
	if m.Flags&(NoCache|MustRevalidate) != 0 {
		return
	}
	switch {
	case m.Has(SaysRevalidate):
		m.WhileRevalidate = seconds(f.staleWhileRevalidate)
	case !m.Has(SharedAge):
		m.WhileRevalidate = min(max(cfg.StaleWhileRevalidate, 0), seconds(maxDelta))
	}
	switch {
	case m.Has(SaysOnError):
		m.OnError = seconds(f.staleIfError)
	case !m.Has(SharedAge):
		m.OnError = min(max(cfg.StaleIfError, 0), seconds(maxDelta))
	}
}
