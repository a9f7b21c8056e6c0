package route

import (
	"errors"
	"fmt"
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

// add enters one route under each of its hosts.
func (b *builder) add(index int, r *conf.L7Route) error {
	put, err := b.parsePath(r.Path)
	if err != nil {
		return fmt.Errorf("cannot use path %q of route %d: %w", r.Path, index+1, err)
	}
	ru := rule{index: index, methods: slices.Clone(r.Method)}
	if len(r.Host) == 0 {
		if b.t.any == nil {
			b.t.any = &paths{}
		}
		put(b.t.any, ru)
		return nil
	}
	hosts := slices.Clone(r.Host)
	slices.Sort(hosts)
	for _, h := range slices.Compact(hosts) {
		if h == "" || strings.Contains(h[1:], "*") || h[0] == '*' && (len(h) < 3 || h[1] != '.') {
			return fmt.Errorf("cannot use host %q of route %d: expected a name or \"*.\" and a name", h, index+1)
		}
		put(b.host(h), ru)
	}
	return nil
}

// host returns the path table of a host or wildcard, made on first use.
func (b *builder) host(name string) *paths {
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

// parsePath returns the function that enters a rule with that path.
func (b *builder) parsePath(path string) (put func(*paths, rule), err error) {
	switch {
	case path == "":
		return func(p *paths, r rule) { p.any = append(p.any, r) }, nil
	case path[0] == '~':
		return b.parseRegexp(path[1:])
	case path[0] == '=':
		return parseExact(path[1:])
	case path[0] != '/':
		return nil, errors.New(`it must start with "/", "=/" or "~"`)
	case strings.ContainsAny(path, "{}"):
		return parsePattern(path)
	}
	return parsePrefix(path)
}

func parseExact(path string) (func(*paths, rule), error) {
	key, err := canonical(path)
	if err != nil {
		return nil, err
	}
	return func(p *paths, r rule) {
		if p.exact == nil {
			p.exact = make(map[string][]rule)
		}
		p.exact[key] = append(p.exact[key], r)
	}, nil
}

func parsePrefix(path string) (func(*paths, rule), error) {
	key, err := canonical(path)
	if err != nil {
		return nil, err
	}
	key = strings.TrimSuffix(key, "/")
	return func(p *paths, r rule) {
		if p.prefixes == nil {
			p.prefixes = make(map[string][]rule)
		}
		p.prefixes[key] = append(p.prefixes[key], r)
	}, nil
}

func parsePattern(path string) (func(*paths, rule), error) {
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
	return func(p *paths, r rule) {
		if p.patterns == nil {
			p.patterns = make(map[int][]pattern)
		}
		n := len(segments)
		p.patterns[n] = append(p.patterns[n], pattern{r, segments})
	}, nil
}

// parameter returns what is between the braces of a segment that is a parameter.
func parameter(segment string) (name string, ok bool) {
	if len(segment) < 2 || segment[0] != '{' || segment[len(segment)-1] != '}' {
		return "", false
	}
	name = segment[1 : len(segment)-1]
	return name, !strings.ContainsAny(name, "{}")
}

func (b *builder) parseRegexp(source string) (func(*paths, rule), error) {
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
	re, err := regexp.Compile(source)
	if err != nil {
		return nil, err
	}
	return func(p *paths, r rule) { p.regexps = append(p.regexps, expression{r, re}) }, nil
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
		slices.SortFunc(rules, compareRules)
	}
	for prefix, rules := range p.prefixes {
		slices.SortFunc(rules, compareRules)
		p.lengths = append(p.lengths, len(prefix))
	}
	slices.Sort(p.lengths)
	p.lengths = slices.Compact(p.lengths)
	slices.Reverse(p.lengths)
	for _, list := range p.patterns {
		slices.SortFunc(list, func(a, b pattern) int { return compareRules(a.rule, b.rule) })
	}
	slices.SortFunc(p.regexps, func(a, b expression) int { return compareRules(a.rule, b.rule) })
	slices.SortFunc(p.any, compareRules)
}
