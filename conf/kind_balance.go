package conf

import "strings"

// hashBy is what a server is chosen by: source, path, header:NAME or cookie:NAME.
func hashBy() kind[HashBy] {
	k := text("hash key", "hash keys", parseHashBy, func(h HashBy) any { return h.String() })
	k.limits = "source, path, header:NAME, cookie:NAME"
	return k
}

func parseHashBy(s string) (HashBy, error) {
	of, name, named := strings.Cut(s, ":")
	switch of {
	case "source", "path":
		if !named {
			return HashBy{Of: of}, nil
		}
	case "header", "cookie":
		if !named || name == "" {
			return HashBy{}, bad("%q has no name; write %s:NAME", s, of)
		}
		names := fieldToMatch()
		if of == "cookie" {
			names = cookieName()
		}
		_, err := names.parse(nil, &node{form: formString, text: name})
		return HashBy{Of: of, Name: name}, err
	}
	return HashBy{}, bad("%q is not one of source, path, header:NAME, cookie:NAME", s)
}

// cookiePath is the attribute Path of a cookie (RFC 6265 section 4.1.1).
func cookiePath() kind[string] {
	return word("path", "paths", func(s string) (string, error) {
		if !strings.HasPrefix(s, "/") || len(s) > 1024 ||
			strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == ';' }) {
			return "", bad("%q is not a path of a cookie: expected / and visible ASCII without ;", s)
		}
		return s, nil
	})
}

// zoneName is the name of a zone. It means nothing but itself.
func zoneName() kind[string] {
	return word("name", "names", func(s string) (string, error) { return s, checkName(s) })
}
