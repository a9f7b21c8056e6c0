package message

// Field is one field line. Name and Value are slices into the head as it was
// received: order, case and duplicates are kept, white space around the value is
// not. They live as long as the buffer that was parsed.
type Field struct {
	Name  []byte
	Value []byte
	Known ID
	Hop   bool // meant for this connection only: never passed on (RFC 9110 section 7.6.1)
}

// ID names a field that Weir knows. Zero is any other field.
type ID uint8

// The known fields.
const (
	Unknown ID = iota
	Accept
	AcceptEncoding
	Age
	Authorization
	CacheControl
	Connection
	ContentEncoding
	ContentLength
	ContentLocation
	ContentRange
	ContentType
	Cookie
	Date
	ETag
	Expect
	Expires
	Forwarded
	Host
	HTTP2Settings
	IfMatch
	IfModifiedSince
	IfNoneMatch
	IfRange
	IfUnmodifiedSince
	KeepAlive
	LastModified
	Location
	MaxForwards
	Pragma
	ProxyAuthenticate
	ProxyAuthorization
	ProxyConnection
	Range
	Refresh
	RetryAfter
	Server
	SetCookie
	TE
	Trailer
	TransferEncoding
	Upgrade
	UserAgent
	Vary
	Via
	WWWAuthenticate
	XForwardedFor
	XForwardedHost
	XForwardedProto
	XRealIP
	XRequestID
	numIDs
)

// What is special about a known field, as bits.
const (
	hop       = 1 << iota // hop-by-hop by definition
	protected             // naming it in Connection is an attack: framing, routing, identity
	noTrailer             // not allowed in a trailer section (RFC 9110 section 6.5.1)
)

var known = [numIDs]struct {
	name string // lower case
	bits uint8
}{
	Accept:             {"accept", noTrailer},
	AcceptEncoding:     {"accept-encoding", noTrailer},
	Age:                {"age", noTrailer},
	Authorization:      {"authorization", protected | noTrailer},
	CacheControl:       {"cache-control", noTrailer},
	Connection:         {"connection", hop | noTrailer},
	ContentEncoding:    {"content-encoding", noTrailer},
	ContentLength:      {"content-length", protected | noTrailer},
	ContentLocation:    {"content-location", noTrailer},
	ContentRange:       {"content-range", noTrailer},
	ContentType:        {"content-type", noTrailer},
	Cookie:             {"cookie", protected | noTrailer},
	Date:               {"date", noTrailer},
	ETag:               {"etag", 0},
	Expect:             {"expect", noTrailer},
	Expires:            {"expires", noTrailer},
	Forwarded:          {"forwarded", protected | noTrailer},
	Host:               {"host", protected | noTrailer},
	HTTP2Settings:      {"http2-settings", hop | noTrailer},
	IfMatch:            {"if-match", noTrailer},
	IfModifiedSince:    {"if-modified-since", noTrailer},
	IfNoneMatch:        {"if-none-match", noTrailer},
	IfRange:            {"if-range", noTrailer},
	IfUnmodifiedSince:  {"if-unmodified-since", noTrailer},
	KeepAlive:          {"keep-alive", hop | noTrailer},
	LastModified:       {"last-modified", 0},
	Location:           {"location", noTrailer},
	MaxForwards:        {"max-forwards", noTrailer},
	Pragma:             {"pragma", noTrailer},
	ProxyAuthenticate:  {"proxy-authenticate", hop | noTrailer},
	ProxyAuthorization: {"proxy-authorization", hop | noTrailer},
	ProxyConnection:    {"proxy-connection", hop | noTrailer},
	Range:              {"range", noTrailer},
	Refresh:            {"refresh", noTrailer},
	RetryAfter:         {"retry-after", noTrailer},
	Server:             {"server", noTrailer},
	SetCookie:          {"set-cookie", noTrailer},
	TE:                 {"te", hop | noTrailer},
	Trailer:            {"trailer", noTrailer},
	TransferEncoding:   {"transfer-encoding", hop | protected | noTrailer},
	Upgrade:            {"upgrade", hop | noTrailer},
	UserAgent:          {"user-agent", noTrailer},
	Vary:               {"vary", noTrailer},
	Via:                {"via", protected | noTrailer},
	WWWAuthenticate:    {"www-authenticate", noTrailer},
	XForwardedFor:      {"x-forwarded-for", protected | noTrailer},
	XForwardedHost:     {"x-forwarded-host", protected | noTrailer},
	XForwardedProto:    {"x-forwarded-proto", protected | noTrailer},
	XRealIP:            {"x-real-ip", protected | noTrailer},
	XRequestID:         {"x-request-id", protected | noTrailer},
}

// byLength lists the known fields by the length of their name.
var byLength = func() (t [24][]ID) {
	for id := Unknown + 1; id < numIDs; id++ {
		n := len(known[id].name)
		t[n] = append(t[n], id)
	}
	return t
}()

// Lookup returns the ID of a field name in any case.
func Lookup(name []byte) ID {
	if len(name) >= len(byLength) || len(name) == 0 {
		return Unknown
	}
	c := lower(name[0])
	for _, id := range byLength[len(name)] {
		if s := known[id].name; s[0] == c && EqualFold(name, s) {
			return id
		}
	}
	return Unknown
}

// String returns the name of the field in lower case, "" for Unknown.
func (id ID) String() string {
	if id < numIDs {
		return known[id].name
	}
	return ""
}

// IsHop reports whether the field is hop-by-hop by definition.
func (id ID) IsHop() bool { return id < numIDs && known[id].bits&hop != 0 }

// IsIdentity reports whether the field says who the client is or what it asked for.
// X-Forwarded-Port, -Prefix and what else applications believe are as good as -Host.
func (f *Field) IsIdentity() bool {
	switch f.Known {
	case Unknown:
		return isForwarded(f.Name)
	case XForwardedFor, XForwardedHost, XForwardedProto, XRealIP, XRequestID, Forwarded:
		return true
	}
	return false
}

func isForwarded(name []byte) bool {
	const prefix = "x-forwarded-"
	return len(name) > len(prefix) && EqualFold(name[:len(prefix)], prefix)
}

// isProtected reports whether a peer may not name the field in Connection.
func isProtected(id ID, name []byte) bool {
	return known[id].bits&protected != 0 || isForwarded(name)
}

// isForbiddenTrailer reports whether the field must not be taken from a trailer
// section: it frames, routes, authenticates or describes the message.
func isForbiddenTrailer(id ID, name []byte) bool {
	return known[id].bits&noTrailer != 0 || isProtected(id, name)
}

// parseField splits one field line (without CRLF) in two. class has the classes that
// all octets of the name are of.
func parseField(line []byte) (name, value []byte, class uint8, r reason) {
	i := 0
	class = isToken | isPlain
	for i < len(line) {
		c := octets[line[i]]
		if c&isToken == 0 {
			break
		}
		class &= c
		i++
	}
	if i == len(line) {
		return nil, nil, 0, noColon
	}
	if line[i] != ':' {
		switch {
		case line[i] != ' ' && line[i] != '\t':
			return nil, nil, 0, badName
		case i == 0:
			return nil, nil, 0, obsFold
		default:
			return nil, nil, 0, spaceInName
		}
	}
	if i == 0 {
		return nil, nil, 0, emptyName
	}
	value = trimOWS(line[i+1:])
	if !validValue(value) {
		return nil, nil, 0, badValue
	}
	return line[:i], value, class, ok
}
