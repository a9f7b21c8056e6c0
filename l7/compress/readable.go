package compress

import (
	"bytes"

	"weir/l7/message"
)

// isShared reports whether a response is the same for all who ask, as far as its head
// tells. One that is for a single user must not become a dictionary: dictionaries are found
// by hash, and who guesses the text of such a response would be told whether it was right.
func isShared(req *message.Request, res *message.Response) bool {
	controlled := res.Has(message.CacheControl)
	switch {
	case controlled && (hasDirective(res.Fields, "no-store") || hasDirective(res.Fields, "private")):
		return false
	case req.Has(message.Authorization) && (!controlled || !hasDirective(res.Fields, "public")):
		return false
	}
	for i := range res.Fields {
		if f := &res.Fields[i]; f.Known == message.Vary && (message.HasToken(f.Value, "cookie") ||
			message.HasToken(f.Value, "authorization") || message.HasToken(f.Value, "*")) {
			return false
		}
	}
	return true
}

// mayUseDictionary reports whether the page that asks may read the response, so that the
// length of one that is encoded against another tells it nothing new: the rules that RFC
// 9842 section 9.3.3 has for servers.
func mayUseDictionary(req, res []message.Field) bool {
	site := fieldNamed(req, "sec-fetch-site")
	if site == nil || message.EqualFold(site, "same-origin") {
		return true
	}
	mode := fieldNamed(req, "sec-fetch-mode")
	switch {
	case mode == nil: // the RFC allows it for another site, too
		return !message.EqualFold(site, "cross-site")
	case message.EqualFold(mode, "navigate"), message.EqualFold(mode, "same-origin"):
		return true
	case message.EqualFold(mode, "cors"):
		allowed, origin := fieldNamed(res, "access-control-allow-origin"), fieldNamed(req, "origin")
		return allowed != nil && origin != nil && (string(allowed) == "*" || bytes.Equal(allowed, origin))
	}
	return false
}

// fieldNamed returns the value of the first field of a name in lower case, nil where there
// is none.
func fieldNamed(fields []message.Field, name string) []byte {
	for i := range fields {
		if message.EqualFold(fields[i].Name, name) {
			return fields[i].Value
		}
	}
	return nil
}
