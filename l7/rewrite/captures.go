package rewrite

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"weir/conf"
	"weir/l7/message"
)

// Path is the path of a route as a source of values: the variables of a pattern,
// the groups of a regular expression, or what lies below a prefix. It is immutable
// and may be used by any number of goroutines.
type Path struct {
	names    map[string]int // variable to the number of its capture
	captures int
	fill     func(v *Values)
}

// NewPath reads a path as [[l7.route]] has it: "/prefix/", "=/exact", "/u/{id}",
// "~regex" or "" for any. conf has checked it; an error says what it did not.
func NewPath(path string) (*Path, error) {
	p := &Path{names: map[string]int{}, fill: func(*Values) {}}
	switch {
	case path == "" || path[0] == '=':
		return p, nil
	case path[0] == '~':
		return p, p.regexp(path[1:])
	case strings.ContainsAny(path, "{}"):
		p.pattern(path)
		return p, nil
	}
	return p, p.prefix(path)
}

// add gives a variable the next capture.
func (p *Path) add(name string) int {
	i := p.captures
	p.names[name] = i
	p.captures++
	return i
}

// prefix captures what follows the prefix and the slash behind it.
func (p *Path) prefix(path string) error {
	canonical, err := message.AppendPath(nil, []byte(path), true)
	if err != nil {
		return fmt.Errorf("cannot use path %q: %w", path, err)
	}
	n := len(bytes.TrimSuffix(canonical, slash))
	at := p.add(conf.PathRest)
	p.fill = func(v *Values) {
		if len(v.match) >= n {
			v.captures[at] = bytes.TrimPrefix(v.match[n:], slash)
		}
	}
	return nil
}

var slash = []byte("/")

// pattern captures the segments that are variables.
func (p *Path) pattern(path string) {
	segments := strings.Split(path[1:], "/")
	at := make([]int, len(segments)) // the capture of a segment, -1 for a literal
	for i, s := range segments {
		at[i] = -1
		if strings.HasPrefix(s, "{") && strings.HasSuffix(s, "}") {
			at[i] = p.add(s[1 : len(s)-1])
		}
	}
	p.fill = func(v *Values) {
		rest := bytes.TrimPrefix(v.match, slash)
		for _, capture := range at {
			segment, after, _ := bytes.Cut(rest, slash)
			if capture >= 0 {
				v.captures[capture] = segment
			}
			rest = after
		}
	}
}

// regexp captures the groups, by number and, where they have one, by name.
func (p *Path) regexp(source string) error {
	re, err := regexp.Compile(source)
	if err != nil {
		return fmt.Errorf("cannot use path %q: %w", "~"+source, err)
	}
	p.captures = re.NumSubexp()
	for i, name := range re.SubexpNames() {
		if i == 0 {
			continue
		}
		p.names[strconv.Itoa(i)] = i - 1
		if name != "" {
			p.names[name] = i - 1
		}
	}
	p.fill = func(v *Values) {
		at := re.FindSubmatchIndex(v.match)
		for i := range v.captures {
			if j := 2 * (i + 1); j+1 < len(at) && at[j] >= 0 {
				v.captures[i] = v.match[at[j]:at[j+1]]
			}
		}
	}
	return nil
}
