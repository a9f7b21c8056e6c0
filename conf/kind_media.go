package conf

import "strings"

// mediaTypes is a media type without parameters, or a set of them: "a/b", "a/*",
// "+json" for every type with that suffix. It is lower-cased.
func mediaTypes() kind[string] {
	return word("media type", "media types", func(s string) (string, error) {
		if suffix, ok := strings.CutPrefix(s, "+"); ok {
			if !token.MatchString(suffix) {
				return "", bad("%q is not a suffix of media types, as \"+json\" is", s)
			}
			return strings.ToLower(s), nil
		}
		if bare, _, ok := strings.Cut(s, ";"); ok {
			return "", bad("%q has a parameter: types are compared without", s).meant(strings.TrimSpace(bare))
		}
		main, sub, ok := strings.Cut(s, "/")
		switch {
		case !ok || !token.MatchString(main) || !token.MatchString(sub):
			return "", bad("%q is not a media type: expected \"type/subtype\", \"type/*\" or \"+suffix\"", s)
		case main == "*" && sub != "*" || main != "*" && strings.Contains(main, "*") ||
			sub != "*" && strings.Contains(sub, "*"):
			return "", bad("%q: a \"*\" can only stand for all subtypes, as in \"text/*\"", s)
		}
		return strings.ToLower(s), nil
	})
}

// starPattern is a path in which "*" stands for anything. What else has a meaning in URL
// patterns is refused: clients read it as one (RFC 9842 section 2.1.1).
func starPattern() kind[string] {
	const most = 4 // asterisks
	return word("path pattern", "path patterns", func(s string) (string, error) {
		switch {
		case !strings.HasPrefix(s, "/"):
			return "", bad("%q does not start with \"/\"", s).meant("/" + s)
		case strings.ContainsAny(s, `"\?#{}():+`):
			return "", bad("%q: a pattern may have no character of \"\\?#{}():+", s)
		case strings.Count(s, "*") > most || len(s) > 256:
			return "", bad("%q: a pattern has at most %d \"*\" and 256 bytes", s, most)
		}
		return s, visible(s)
	})
}
