package route

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"weir/conf"
)

// Bounds on regular expressions. RE2 runs in time linear in the path and in the
// size of the program, so the product of the two is what must stay small.
const (
	maxRegexps       = 100  // in one table
	maxRegexpLength  = 1024 // bytes of source
	maxRegexpProgram = 1000 // instructions after compilation
)

// builder collects routes; the lists are sorted once all are known.
type builder struct {
	t       *Table
	regexps int
}

// add enters one route under each of its hosts and networks.
func (b *builder) add(index int, r *conf.L7Route) error {
	path, err := b.parsePath(r.Path)
	if err != nil {
		return fmt.Errorf("cannot use path %q of route %d: %w", r.Path, index+1, err)
	}
	ru := rule{index: index, methods: slices.Clone(r.Method)}
	if ru.conditions, err = b.parseConditions(r); err != nil {
		return fmt.Errorf("cannot use conditions of route %d: %w", index+1, err)
	}
	ru.weight = weigh(ru.conditions)
	sources, err := parseNetworks(r.Source)
	if err != nil {
		return fmt.Errorf("cannot use source of route %d: %w", index+1, err)
	}
	hosts := slices.Compact(slices.Sorted(slices.Values(r.Host)))
	for _, h := range hosts {
		if h == "" || strings.Contains(h[1:], "*") || h[0] == '*' && (len(h) < 3 || h[1] != '.') {
			return fmt.Errorf("cannot use host %q of route %d: expected a name or \"*.\" and a name", h, index+1)
		}
	}
	if len(hosts) == 0 {
		hosts = []string{""}
	}
	for _, h := range hosts {
		for _, ru.source = range sources {
			b.t.entries = append(b.t.entries, entry{rule: ru, host: h, place: path, route: r})
			b.paths(h).put(&path, ru)
		}
	}
	return nil
}

// parseNetworks returns the networks of a route, the zero one where it has none.
func parseNetworks(list []string) ([]netip.Prefix, error) {
	if len(list) == 0 {
		return []netip.Prefix{{}}, nil
	}
	var networks []netip.Prefix
	for _, s := range list {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, err
		}
		networks = append(networks, p.Masked())
	}
	return networks, nil
}

// paths returns the path table of a host or wildcard, or that of no host, made on
// first use.
func (b *builder) paths(name string) *paths {
	if name == "" {
		if b.t.any == nil {
			b.t.any = &paths{}
		}
		return b.t.any
	}
	m := b.t.exact
	if suffix, ok := strings.CutPrefix(name, "*"); ok {
		m, name = b.t.wildcard, suffix
		b.t.longest = max(b.t.longest, len(suffix))
		if b.t.shortest == 0 || len(suffix) < b.t.shortest {
			b.t.shortest = len(suffix)
		}
	}
	p := m[name]
	if p == nil {
		p = &paths{}
		m[name] = p
	}
	return p
}

// parsePath takes a configured path apart.
func (b *builder) parsePath(path string) (p place, err error) {
	switch {
	case path == "":
		return place{kind: anyPath}, nil
	case path[0] == '~':
		p = place{kind: regexpPath, path: path[1:]}
		p.re, err = b.compile(p.path)
		return p, err
	case path[0] == '=':
		p.kind = exactPath
		p.path, err = canonical(path[1:])
		return p, err
	case path[0] != '/':
		return p, errors.New(`it must start with "/", "=/" or "~"`)
	case strings.ContainsAny(path, "{}"):
		p = place{kind: patternPath, path: path}
		p.segments, err = parsePattern(path)
		return p, err
	}
	p.kind = prefixPath
	p.path, err = canonical(path)
	p.path = strings.TrimSuffix(p.path, "/")
	return p, err
}

// put enters a rule with that path.
func (p *paths) put(at *place, r rule) {
	switch at.kind {
	case exactPath:
		if p.exact == nil {
			p.exact = make(map[string][]rule)
		}
		p.exact[at.path] = append(p.exact[at.path], r)
	case prefixPath:
		if p.prefixes == nil {
			p.prefixes = make(map[string][]rule)
		}
		p.prefixes[at.path] = append(p.prefixes[at.path], r)
	case patternPath:
		if p.patterns == nil {
			p.patterns = make(map[int][]pattern)
		}
		n := len(at.segments)
		p.patterns[n] = append(p.patterns[n], pattern{r, at.segments})
	case regexpPath:
		p.regexps = append(p.regexps, expression{r, at.re})
	case anyPath:
		p.any = append(p.any, r)
	}
}

// parsePattern returns the segments of a pattern, "" for a parameter.
func parsePattern(path string) ([]string, error) {
	segments := strings.Split(path[1:], "/")
	for i, s := range segments {
		if name, ok := parameter(s); ok {
			if name == "" {
				return nil, errors.New("a parameter needs a name, as in {id}")
			}
			segments[i] = ""
			continue
		}
		if s == "" {
			return nil, errors.New("a pattern must not have an empty segment or end with a slash")
		}
		if strings.ContainsAny(s, "{}") {
			return nil, fmt.Errorf("segment %q: a parameter must be a whole segment, as in /u/{id}", s)
		}
		c, err := canonical("/" + s)
		if err != nil {
			return nil, err
		}
		segments[i] = c[1:]
	}
	return segments, nil
}

// parameter returns what is between the braces of a segment that is a parameter.
func parameter(segment string) (name string, ok bool) {
	if len(segment) < 2 || segment[0] != '{' || segment[len(segment)-1] != '}' {
		return "", false
	}
	name = segment[1 : len(segment)-1]
	return name, !strings.ContainsAny(name, "{}")
}

// compile compiles a regular expression within the bounds.
func (b *builder) compile(source string) (*regexp.Regexp, error) {
	if len(source) > maxRegexpLength {
		return nil, fmt.Errorf("regular expression has %d bytes; at most %d are allowed", len(source), maxRegexpLength)
	}
	if b.regexps++; b.regexps > maxRegexps {
		return nil, fmt.Errorf("more than %d regular expressions in one listener", maxRegexps)
	}
	tree, err := syntax.Parse(source, syntax.Perl)
	if err != nil {
		return nil, err
	}
	prog, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return nil, err
	}
	if n := len(prog.Inst); n > maxRegexpProgram {
		return nil, fmt.Errorf("regular expression compiles to %d instructions; at most %d are allowed",
			n, maxRegexpProgram)
	}
	return regexp.Compile(source)
}

// finish sorts every list.
func (b *builder) finish() {
	for _, m := range []map[string]*paths{b.t.exact, b.t.wildcard} {
		for _, p := range m {
			p.finish()
		}
	}
	if b.t.any != nil {
		b.t.any.finish()
	}
}

func (p *paths) finish() {
	for _, rules := range p.exact {
		sortRules(rules)
	}
	for prefix, rules := range p.prefixes {
		sortRules(rules)
		p.lengths = append(p.lengths, len(prefix))
	}
	slices.Sort(p.lengths)
	p.lengths = slices.Compact(p.lengths)
	slices.Reverse(p.lengths)
	for _, list := range p.patterns {
		slices.SortFunc(list, func(a, b pattern) int {
			return cmp.Or(compareSegments(a.segments, b.segments), compareRules(&a.rule, &b.rule))
		})
	}
	slices.SortFunc(p.regexps, func(a, b expression) int { return compareRules(&a.rule, &b.rule) })
	sortRules(p.any)
}
