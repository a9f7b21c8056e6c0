package route

import (
	"bytes"
	"cmp"
	"regexp"
)

// paths holds the routes of one host (or wildcard, or none), by kind of path, in
// the order in which the kinds are tried.
type paths struct {
	exact    map[string][]rule
	prefixes map[string][]rule // without the final slash; "" is the prefix "/"
	// lengths of the keys of prefixes, longest first: one look-up for each of
	// them, however many slashes a path has.
	lengths  []int
	patterns map[int][]pattern // by number of segments
	regexps  []expression
	any      []rule
}

// pattern is a path of literal segments and parameters.
type pattern struct {
	rule
	segments []string // "" stands for a parameter
}

// expression is a regular expression over the path.
type expression struct {
	rule
	re *regexp.Regexp
}

// find offers the rules whose path matches to s, best first, and reports whether
// the search is over.
func (p *paths) find(s *search) bool {
	path := s.r.Path
	if len(p.exact) > 0 && s.tryAll(p.exact[string(path)]) {
		return true
	}
	if len(path) > 0 && path[0] == '/' && (p.findPrefix(s) || p.findPattern(s)) {
		return true
	}
	for i := range p.regexps {
		if e := &p.regexps[i]; e.re.Match(path) && s.try(&e.rule) {
			return true
		}
	}
	return s.tryAll(p.any)
}

func (p *paths) findPrefix(s *search) bool {
	path := s.r.Path
	for _, n := range p.lengths {
		if n > len(path) || n < len(path) && path[n] != '/' {
			continue
		}
		if s.tryAll(p.prefixes[string(path[:n])]) {
			return true
		}
	}
	return false
}

func (p *paths) findPattern(s *search) bool {
	if len(p.patterns) == 0 {
		return false
	}
	path := s.r.Path
	list := p.patterns[bytes.Count(path, slash)]
	for i := range list {
		if c := &list[i]; matchSegments(c.segments, path) && s.try(&c.rule) {
			return true
		}
	}
	return false
}

var slash = []byte{'/'}

// matchSegments reports whether path, which starts with a slash and has as many of
// them as the pattern has segments, fits the pattern.
func matchSegments(segments []string, path []byte) bool {
	for _, want := range segments {
		path = path[1:]
		end := bytes.IndexByte(path, '/')
		if end < 0 {
			end = len(path)
		}
		if want == "" && end == 0 || want != "" && string(path[:end]) != want {
			return false
		}
		path = path[end:]
	}
	return true
}

// compareSegments puts the pattern with more literal segments first, and of two with
// as many the one whose first literal that the other has not is further left.
func compareSegments(a, b []string) int {
	if c := cmp.Compare(literals(b), literals(a)); c != 0 {
		return c
	}
	for i := range min(len(a), len(b)) {
		if (a[i] == "") != (b[i] == "") {
			if a[i] != "" {
				return -1
			}
			return 1
		}
	}
	return 0
}

func literals(segments []string) int {
	n := 0
	for _, s := range segments {
		if s != "" {
			n++
		}
	}
	return n
}
