package conf

import (
	"regexp"
	"slices"
	"strings"
)

// fieldToMatch is the name of a request field that a route may look at. Fields of
// other names than these are never seen: they are dropped, or belong to one
// connection only.
func fieldToMatch() kind[string] {
	plainName := regexp.MustCompile("^[A-Za-z0-9-]+$")
	ofConnection := []string{
		"connection", "content-length", "expect", "http2-settings", "keep-alive", "proxy-authenticate",
		"proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
	}
	return word("field name", "field names", func(s string) (string, error) {
		switch lower := strings.ToLower(s); {
		case token.MatchString(s) && len(s) <= 256 && !plainName.MatchString(s):
			return "", bad("%q never arrives: fields with other than letters, digits and hyphens in their names "+
				"are dropped", s)
		case !plainName.MatchString(s) || len(s) > 256:
			return "", bad("%q is not a field name (RFC 9110 section 5.1)", s)
		case lower == "host":
			return "", bad("\"host\" is a key of the route itself")
		case lower == "cookie":
			return "", bad("\"cookie\" is a key of the route itself")
		case slices.Contains(ofConnection, lower):
			return "", bad("%q belongs to one connection or to the framing and cannot be matched", s)
		}
		return s, nil
	})
}

// cookieName is the name of a cookie (RFC 6265 section 4.1.1). Case matters.
func cookieName() kind[string] {
	return word("cookie name", "cookie names", func(s string) (string, error) {
		if !token.MatchString(s) || len(s) > 256 {
			return "", bad("%q is not the name of a cookie (RFC 6265 section 4.1.1)", s)
		}
		return s, nil
	})
}

// regex is a regular expression (RE2) of bounded size.
func regex() kind[string] {
	return word("regular expression", "regular expressions", func(s string) (string, error) { return s, checkRegex(s) })
}
