package l7

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"weir/l7/cache"
	"weir/l7/message"
	"weir/pool/metric"
)

// Purge names stored responses that are to be dropped: exactly one of URL, Prefix,
// Host, Tag and All is set.
type Purge struct {
	URL    string `json:"url,omitempty"`    // with all its variants
	Prefix string `json:"prefix,omitempty"` // all URLs that begin so
	Host   string `json:"host,omitempty"`   // whatever the scheme
	Tag    string `json:"tag,omitempty"`    // in Surrogate-Key, Cache-Tag or Cache-Groups
	All    bool   `json:"all,omitempty"`

	// Soft keeps them, as stale: they are served again where a server cannot be asked,
	// or while one is asked, as their route says.
	Soft bool `json:"soft,omitempty"`
}

// errPurge is said of a Purge that names nothing, or several things.
var errPurge = errors.New("expected exactly one of url, prefix, host, tag and all")

// By says what p goes by, "" where it names nothing.
func (p *Purge) By() string {
	switch {
	case p.URL != "":
		return "url"
	case p.Prefix != "":
		return "prefix"
	case p.Host != "":
		return "host"
	case p.Tag != "":
		return "tag"
	case p.All:
		return "all"
	}
	return ""
}

// What returns what p names, "" with All.
func (p *Purge) What() string { return p.URL + p.Prefix + p.Host + p.Tag }

// Check reports what is wrong with p itself; nil: nothing is.
func (p *Purge) Check() error {
	n := 0
	for _, given := range [...]bool{p.URL != "", p.Prefix != "", p.Host != "", p.Tag != "", p.All} {
		if given {
			n++
		}
	}
	if n != 1 {
		return errPurge
	}
	return nil
}

// PurgeCache drops what p names, or makes it stale, and returns how many stored responses
// that were. It is in force when PurgeCache returns, also for what is being fetched. An
// error says what is wrong with p.
func (s *Server) PurgeCache(p Purge) (int, error) {
	if err := p.Check(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	st := s.store
	s.mu.Unlock()
	sel := cache.Selector{Soft: p.Soft, All: p.All}
	switch p.By() {
	case "url":
		scheme, r, err := parseURL(p.URL)
		if err != nil {
			return 0, err
		}
		s.metrics.Counter(metric.CachePurged, p.By()).Inc()
		return s.purgeRequest(s.snapshot.Load().caches(), scheme, r, p.Soft), nil
	case "prefix":
		_, r, err := parseURL(p.Prefix)
		if err != nil {
			return 0, err
		}
		if r.HasQuery {
			return 0, fmt.Errorf("cannot purge the prefix %q: it must end in the path, not in the query", p.Prefix)
		}
		sel.Host, sel.Path = hostOf(r), r.Match
	case "host":
		_, r, err := parseURL("http://" + p.Host + "/")
		if err != nil {
			return 0, fmt.Errorf("cannot purge the host %q: expected a name, and a port where it is not the default",
				p.Host)
		}
		sel.Host = hostOf(r)
	case "tag":
		sel.Tag = tagOf([]byte(p.Tag))
	}
	s.metrics.Counter(metric.CachePurged, p.By()).Inc()
	if st == nil {
		return 0, nil
	}
	return st.Purge(&sel, time.Now()), nil
}

// hostOf is a request's host in the form of keys, whatever the scheme.
func hostOf(r *message.Request) []byte {
	host := slices.Clone(r.Host)
	if i := bytes.LastIndexByte(r.Authority, ':'); i >= 0 && !bytes.Contains(r.Authority[i:], []byte("]")) {
		if port := string(r.Authority[i:]); port != ":80" && port != ":443" && port != ":" {
			host = append(host, port...)
		}
	}
	return host
}

// parseURL makes the request that a client would send for a URL.
func parseURL(url string) (scheme string, r *message.Request, err error) {
	bad := func() (string, *message.Request, error) {
		return "", nil, fmt.Errorf("cannot purge %q: expected http://host/path or https://host/path", url)
	}
	scheme, rest, found := strings.Cut(url, "://")
	if scheme = strings.ToLower(scheme); !found || scheme != "http" && scheme != "https" {
		return bad()
	}
	authority, path := rest, "/"
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	if path[0] == '?' {
		path = "/" + path
	}
	head := "GET " + path + " HTTP/1.1\r\nHost: " + authority + "\r\n\r\n"
	r = new(message.Request)
	n, err := r.Parse([]byte(head), &message.Limits{AllowEncodedSlash: true})
	if err != nil || n != len(head) || authority == "" {
		return bad()
	}
	return scheme, r, nil
}

// caches are those of all routes.
func (s *Snapshot) caches() (list []*routeCache) {
	for _, l := range s.listeners {
		for _, r := range l.routes {
			list = r.caches(list)
		}
	}
	return list
}

// CacheStatus is what is stored, and how often it was of use.
type CacheStatus struct {
	Objects     int   `json:"objects"`
	Memory      int64 `json:"memory_bytes"`
	MemoryLimit int64 `json:"memory_limit_bytes"`

	Evictions uint64 `json:"evictions"`
	Fetches   int64  `json:"fetches"` // for which others may wait
	Waiting   int64  `json:"waiting"`

	Disk   *CacheDiskStatus   `json:"disk,omitempty"`
	Routes []RouteCacheStatus `json:"routes"`
}

// RouteCacheStatus is the results of a route's requests since the start.
type RouteCacheStatus struct {
	Listener    string  `json:"listener"`
	Route       string  `json:"route"`
	Requests    uint64  `json:"requests"`
	HitRatio    float64 `json:"hit_ratio"` // hits and stale ones, of all but bypasses
	Hits        uint64  `json:"hits"`
	Stale       uint64  `json:"stale"`
	Revalidated uint64  `json:"revalidated"`
	Misses      uint64  `json:"misses"`
	Bypassed    uint64  `json:"bypassed"`
	Errors      uint64  `json:"errors"`
}

// CacheStatus returns the state of the store and of all routes with a cache.
func (s *Server) CacheStatus() CacheStatus {
	s.mu.Lock()
	st := s.store
	s.mu.Unlock()
	out := CacheStatus{Routes: []RouteCacheStatus{}}
	if st != nil {
		stats := st.Stats()
		out.Objects, out.Memory, out.MemoryLimit = stats.Objects, stats.Bytes, stats.Budget
		out.Evictions, out.Fetches, out.Waiting = stats.Evicted, stats.Flights, stats.Waiting
		out.Disk = diskStatus(st.Disk())
	}
	seen := map[*cacheStats]bool{}
	for _, rc := range s.snapshot.Load().caches() {
		if !seen[rc.stats] { // the sides of a split have the same
			seen[rc.stats] = true
			out.Routes = append(out.Routes, rc.status())
		}
	}
	slices.SortFunc(out.Routes, func(a, b RouteCacheStatus) int {
		return strings.Compare(a.Listener+"\x00"+a.Route, b.Listener+"\x00"+b.Route)
	})
	return out
}

func (rc *routeCache) status() RouteCacheStatus {
	n := func(r cacheResult) uint64 { return rc.stats.results[r].Load() }
	st := RouteCacheStatus{
		Listener: rc.listener, Route: rc.route,
		Hits: n(resultHit), Stale: n(resultStale), Revalidated: n(resultRevalidated), Misses: n(resultMiss),
		Bypassed: n(resultBypass), Errors: n(resultError),
	}
	asked := st.Hits + st.Stale + st.Revalidated + st.Misses + st.Errors
	st.Requests = asked + st.Bypassed
	if asked > 0 {
		st.HitRatio = float64(st.Hits+st.Stale) / float64(asked)
	}
	return st
}
