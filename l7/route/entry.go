package route

import (
	"bytes"
	"cmp"
	"regexp"
	"slices"
	"strings"

	"weir/conf"
)

// pathKind is how a route's path is compared, the first to be tried first.
type pathKind uint8

const (
	exactPath pathKind = iota
	prefixPath
	patternPath
	regexpPath
	anyPath
)

// place is a configured path, taken apart.
type place struct {
	kind     pathKind
	path     string   // canonical; of a prefix without the final slash; source of a regexp
	segments []string // of a pattern; "" is a parameter
	re       *regexp.Regexp
}

// matches reports whether path is one that the place stands for.
func (p *place) matches(path []byte) bool {
	switch p.kind {
	case exactPath:
		return string(path) == p.path
	case prefixPath:
		rest, ok := bytes.CutPrefix(path, []byte(p.path))
		return ok && len(path) > 0 && path[0] == '/' && (len(rest) == 0 || rest[0] == '/')
	case patternPath:
		return len(path) > 0 && path[0] == '/' && bytes.Count(path, slash) == len(p.segments) &&
			matchSegments(p.segments, path)
	case regexpPath:
		return p.re.Match(path)
	}
	return true
}

// entry is a rule with the host and the path that the indexes of a Table find it by.
// The sorted entries of a table are the order of the package comment.
type entry struct {
	rule
	host  string // "": any; "*.example.com"
	place place
	route *conf.L7Route // shared by all its entries
}

// matchesHost reports whether host is one that the entry is for.
func (e *entry) matchesHost(host []byte) bool {
	if suffix, ok := strings.CutPrefix(e.host, "*"); ok {
		return len(host) > len(suffix) && string(host[len(host)-len(suffix):]) == suffix
	}
	return e.host == "" || e.host == string(host)
}

// compareEntries is the order of the package comment. Hosts and paths that no
// request can have at once are put in the order of their letters.
func compareEntries(a, b *entry) int {
	return cmp.Or(
		cmp.Compare(hostRank(a.host), hostRank(b.host)),
		cmp.Compare(len(b.host)*wildcards(b.host), len(a.host)*wildcards(a.host)),
		cmp.Compare(a.host, b.host),
		cmp.Compare(a.place.kind, b.place.kind),
		comparePlaces(&a.place, &b.place),
		compareRules(&a.rule, &b.rule),
	)
}

func hostRank(host string) int {
	switch {
	case host == "":
		return 2
	case host[0] == '*':
		return 1
	}
	return 0
}

// wildcards is 1 for a wildcard, whose length counts, else 0.
func wildcards(host string) int {
	if hostRank(host) == 1 {
		return 1
	}
	return 0
}

// comparePlaces orders paths of the same kind.
func comparePlaces(a, b *place) int {
	switch a.kind {
	case exactPath:
		return cmp.Compare(a.path, b.path)
	case prefixPath:
		return cmp.Or(cmp.Compare(len(b.path), len(a.path)), cmp.Compare(a.path, b.path))
	case patternPath:
		return cmp.Or(cmp.Compare(len(b.segments), len(a.segments)), compareSegments(a.segments, b.segments))
	}
	return 0
}

// sorted returns the entries in their order.
func (t *Table) sorted() []entry {
	list := slices.Clone(t.entries)
	slices.SortFunc(list, func(a, b entry) int { return compareEntries(&a, &b) })
	return list
}
