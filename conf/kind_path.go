package conf

import (
	"encoding/hex"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
)

// Limits on a "~regex" path: matching takes time linear in the path and in the
// program, so the product of the two is what must stay small.
const (
	maxRegexes      = 100 // in one listener
	maxRegexBytes   = 512
	maxRegexProgram = 1000 // instructions
)

// pathPattern is what a route compares a request's path with.
func pathPattern() kind[string] {
	k := word("path pattern", "path patterns", func(s string) (string, error) { return s, checkPath(s) })
	k.limits = `"/prefix/", "=/exact", "/u/{id}", "~regex"`
	return k
}

func checkPath(s string) error {
	if re, ok := strings.CutPrefix(s, "~"); ok {
		return checkRegex(re)
	}
	p, exact := strings.CutPrefix(s, "=")
	if !strings.HasPrefix(p, "/") {
		f := bad("%q must start with \"/\", \"=/\" or \"~\"", s)
		if p != "" && !exact {
			f = f.meant("/" + p)
		}
		return f
	}
	if err := visible(p); err != nil {
		return err
	}
	if i := strings.IndexAny(p, "?#\\"); i >= 0 {
		return bad("%q holds %q, which no path has", s, p[i])
	}
	canonical, err := canonicalPath(p)
	if err != nil {
		return err
	}
	if hasDots(canonical) {
		return bad("%q has a dot segment; requests with one are refused", s)
	}
	if exact || !strings.ContainsAny(p, "{}") {
		return nil
	}
	return checkVariables(s, strings.Split(p[1:], "/"))
}

// canonicalPath gives the form in which paths are compared: escapes of
// unreserved characters decoded, all others in upper case (RFC 3986 section 6.2.2).
func canonicalPath(p string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(p); i++ {
		if p[i] != '%' {
			b.WriteByte(p[i])
			continue
		}
		escape := p[i:min(i+3, len(p))]
		c, err := hex.DecodeString(escape[1:])
		if err != nil || len(c) != 1 {
			return "", bad("%q: %q is not an escape; one is %% and two hex digits", p, escape)
		}
		switch {
		case unreserved.Match(c):
			b.WriteByte(c[0])
		case c[0] == 0 || c[0] == '\\':
			return "", bad("%q: requests with %q are refused", p, escape)
		default:
			b.WriteString(strings.ToUpper(escape))
		}
		i += 2
	}
	return b.String(), nil
}

var unreserved = regexp.MustCompile(`^[A-Za-z0-9._~-]$`)

// hasDots reports whether a canonical path has a dot segment. Encoded slashes
// part segments too, and what follows a semicolon is a parameter.
func hasDots(p string) bool {
	for segment := range strings.SplitSeq(strings.ReplaceAll(p, "%2F", "/"), "/") {
		segment, _, _ = strings.Cut(strings.ReplaceAll(segment, "%3B", ";"), ";")
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}

var variable = regexp.MustCompile(`^\{[A-Za-z_][A-Za-z0-9_]*\}$`)

// checkVariables checks the segments of a path with variables.
func checkVariables(s string, segments []string) error {
	var seen []string
	for _, segment := range segments {
		switch {
		case segment == "":
			return bad("%q: a path with variables has no empty segment and no slash at its end", s)
		case !strings.ContainsAny(segment, "{}"):
		case !variable.MatchString(segment):
			return bad("%q: %q is not a variable; one is a whole segment such as {id}", s, segment)
		case slices.Contains(seen, segment):
			return bad("%q has the variable %s twice", s, segment)
		default:
			seen = append(seen, segment)
		}
	}
	return nil
}

func checkRegex(re string) error {
	if len(re) > maxRegexBytes {
		return bad("a regular expression of %d bytes is longer than the allowed %d", len(re), maxRegexBytes)
	}
	if re == "" {
		return bad("the regular expression is empty")
	}
	parsed, err := syntax.Parse(re, syntax.Perl)
	if err != nil {
		return bad("cannot parse regular expression: %v", err)
	}
	prog, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return bad("cannot compile regular expression: %v", err)
	}
	if len(prog.Inst) > maxRegexProgram {
		return bad("the regular expression compiles to %d instructions, more than the allowed %d",
			len(prog.Inst), maxRegexProgram)
	}
	return nil
}

// samePath gives path patterns that match the same requests the same form.
func samePath(p string) string {
	if p == "" || p[0] == '~' {
		return p
	}
	canonical, err := canonicalPath(p)
	if err != nil {
		return p // reported where it stands
	}
	if p[0] == '=' {
		return canonical
	}
	segments := strings.Split(strings.TrimSuffix(canonical, "/"), "/")
	for i, s := range segments {
		if strings.HasPrefix(s, "{") {
			segments[i] = "{}"
		}
	}
	return strings.Join(segments, "/") + "/"
}
