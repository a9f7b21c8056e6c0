package conf

import (
	"regexp"
	"strings"
)

// Template is a text with variables, as in "/u/{id}". It is parsed once; filling
// it in puts values between the literals and never looks at them again. The zero
// value is "not given".
type Template struct {
	Text  string // as the file has it
	Parts []TemplatePart
}

// TemplatePart is a literal or a variable: one of the two is "".
type TemplatePart struct {
	Literal  string
	Variable string // without its braces
}

// IsZero reports whether the file has no such template.
func (t *Template) IsZero() bool { return t.Text == "" }

// HasVariables reports whether the text depends on the request.
func (t *Template) HasVariables() bool {
	for i := range t.Parts {
		if t.Parts[i].Variable != "" {
			return true
		}
	}
	return false
}

// Limits on a template: what it can grow to is bounded by these and the request.
const (
	maxTemplateBytes     = 4096
	maxTemplateVariables = 16
)

// Variables are those that every template may use, whatever the route matches.
// A path adds its own: those of a pattern, the groups of a regular expression by
// name or number, and "rest" for what lies below a prefix.
func Variables() []string {
	return []string{"client_ip", "host", "method", "path", "query", "request_id", "scheme"}
}

// PathRest is the variable of a prefix path: what follows the prefix and its slash.
const PathRest = "rest"

var templateVariable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$|^[1-9][0-9]?$`)

// parseTemplate reads a text in which {name} stands for a variable, and {{ and }}
// for braces.
func parseTemplate(s string) (Template, error) {
	t := Template{Text: s}
	if len(s) > maxTemplateBytes {
		return t, bad("%d bytes are more than the allowed %d", len(s), maxTemplateBytes)
	}
	literal, variables := "", 0
	for rest := s; rest != ""; {
		i := strings.IndexAny(rest, "{}")
		if i < 0 {
			literal += rest
			break
		}
		literal, rest = literal+rest[:i], rest[i:]
		if len(rest) > 1 && rest[1] == rest[0] {
			literal, rest = literal+rest[:1], rest[2:]
			continue
		}
		end := strings.IndexByte(rest, '}')
		if rest[0] == '}' || end < 0 {
			return t, bad("%q has a %q without its other half; write it twice to mean itself", s, rest[:1])
		}
		name := rest[1:end]
		if !templateVariable.MatchString(name) {
			return t, bad("%q: %q is not a variable; one is a name or a number, as in {id} or {1}", s, rest[:end+1])
		}
		if literal != "" {
			t.Parts = append(t.Parts, TemplatePart{Literal: literal})
			literal = ""
		}
		t.Parts = append(t.Parts, TemplatePart{Variable: name})
		if variables++; variables > maxTemplateVariables {
			return t, bad("more than the allowed %d variables", maxTemplateVariables)
		}
		rest = rest[end+1:]
	}
	if literal != "" {
		t.Parts = append(t.Parts, TemplatePart{Literal: literal})
	}
	return t, nil
}

// template is a text with variables; check looks at the text as a whole.
func template(typ string, check func(t *Template) error) kind[Template] {
	return text(typ, typ+"s", func(s string) (Template, error) {
		if s == "" {
			return Template{}, bad("is empty; leave the key out instead")
		}
		t, err := parseTemplate(s)
		if err == nil {
			err = check(&t)
		}
		if err != nil {
			return Template{}, err
		}
		return t, nil
	}, func(t Template) any { return t.Text })
}

// pathTemplate is the path, and perhaps the query, that a request is given.
func pathTemplate() kind[Template] {
	return template("path template", func(t *Template) error {
		if !strings.HasPrefix(t.Text, "/") && !strings.HasPrefix(t.Text, "{path}") {
			return bad("%q must start with \"/\" or {path}", t.Text)
		}
		if strings.HasPrefix(t.Text, "//") {
			return bad("%q starts with two slashes, which is the address of another host", t.Text)
		}
		path, query, _ := strings.Cut(t.Text, "?")
		if strings.Contains(path, "{query}") {
			return bad("%q: {query} can only stand behind a \"?\"", t.Text)
		}
		if strings.ContainsAny(t.Text, "#\\") || strings.Contains(query, "?") {
			return bad("%q holds \"#\", a backslash or a second \"?\"; write it percent-encoded", t.Text)
		}
		if err := visible(t.Text); err != nil {
			return err
		}
		if strings.HasPrefix(path, "{path}") { // which starts with a slash
			path = "/" + path
		}
		canonical, err := canonicalPath(path)
		if err == nil && hasDots(canonical) {
			err = bad("%q has a dot segment", t.Text)
		}
		return err
	})
}

// hostTemplate is a Host field with variables.
func hostTemplate() kind[Template] {
	plain := hostHeader()
	k := template("host", func(t *Template) error { return nil })
	parse := k.parse
	k.parse = func(b *binder, n *node) (Template, error) {
		if n.form == formString && !strings.ContainsAny(n.text, "{}") {
			host, err := plain.parse(b, n)
			if err != nil {
				return Template{}, err
			}
			return Template{Text: host, Parts: []TemplatePart{{Literal: host}}}, nil
		}
		t, err := parse(b, n)
		for _, p := range t.Parts {
			if strings.ContainsFunc(p.Literal, func(r rune) bool { return !strings.ContainsRune(hostOctets, r) }) {
				return Template{}, bad("%q is not a host: expected letters, digits, \".-:\" and variables", t.Text)
			}
		}
		return t, err
	}
	return k
}

const hostOctets = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:"

// fieldTemplate is the value of a header field; "" is one too.
func fieldTemplate() kind[Template] {
	return text("template", "templates", func(s string) (Template, error) {
		if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
			return Template{}, bad("%q holds a control character, which no field value has", s)
		}
		if strings.TrimSpace(s) != s {
			return Template{}, bad("%q begins or ends with white space, which is not part of a field value", s)
		}
		return parseTemplate(s)
	}, func(t Template) any { return t.Text })
}

// PerClient returns a variable of the template that differs from client to client, or
// from request to request, for the same URL; "" for none.
func (t *Template) PerClient() string {
	for i := range t.Parts {
		if v := t.Parts[i].Variable; v == "client_ip" || v == "request_id" {
			return v
		}
	}
	return ""
}
