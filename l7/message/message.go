// Package message is what Weir knows about HTTP messages: the canonical request
// and response, their fields, and their framing.
//
// It is pure: no clock, no goroutine, no I/O, no panic whatever the bytes are.
// A parser takes the bytes read so far and answers with the number consumed,
// "need more" or an error; it can be called again with more bytes and does not
// scan twice. Results are slices into the caller's buffer: nothing is copied and,
// once a Request or Response has been used before, nothing is allocated.
//
// The parsers are stricter than RFC 9112 asks for. What two HTTP implementations
// could read in two ways is refused, never repaired: a bare LF, a folded line, a
// space before the colon, Content-Length beside Transfer-Encoding and the like.
package message

import "strconv"

// Framing says how the end of a body is found (RFC 9112 section 6.3).
type Framing uint8

// The kinds of framing. Close exists for responses only.
const (
	None    Framing = iota // no body
	Length                 // Content-Length octets
	Chunked                // Transfer-Encoding: chunked
	Close                  // until the connection ends
)

// String returns the name of f for logs.
func (f Framing) String() string {
	switch f {
	case None:
		return "none"
	case Length:
		return "length"
	case Chunked:
		return "chunked"
	case Close:
		return "close"
	}
	return "framing(" + strconv.Itoa(int(f)) + ")"
}

// Limits bounds what a peer may send. A zero number means its default, and a nil
// *Limits means all defaults. A Limits is only read and may be shared.
type Limits struct {
	MaxHead   int // octets of a head, from the start line to the empty line; default 32 KiB
	MaxFields int // field lines of a head or a trailer section; default 100
	MaxURI    int // octets of a request target; default 8 KiB

	// AllowEncodedSlash accepts %2F and %3B in a path (paths = "allow_encoded_slash").
	// Dot segments stay refused, and %2F then counts as a separator when they are sought.
	AllowEncodedSlash bool

	// AllowConnect accepts CONNECT, which is refused with 405 otherwise.
	AllowConnect bool
}

// The defaults of Limits.
const (
	DefaultMaxHead   = 32 << 10
	DefaultMaxFields = 100
	DefaultMaxURI    = 8 << 10
)

// orDefault returns l with every default filled in.
func (l *Limits) orDefault() Limits {
	var d Limits
	if l != nil {
		d = *l
	}
	if d.MaxHead <= 0 {
		d.MaxHead = DefaultMaxHead
	}
	if d.MaxFields <= 0 {
		d.MaxFields = DefaultMaxFields
	}
	if d.MaxURI <= 0 {
		d.MaxURI = DefaultMaxURI
	}
	return d
}

// Side says whose fault an error is. Status, log and metric derive from it.
type Side uint8

// The sides of an error. The zero value is Internal.
const (
	Internal Side = iota // ours
	Client               // the peer that sent the request
	Upstream             // the server that sent the response
)

// String returns the name of s for logs and metrics.
func (s Side) String() string {
	switch s {
	case Client:
		return "client"
	case Upstream:
		return "upstream"
	default:
		return "internal"
	}
}

// Error says why a message was refused. After one, nothing more may be read from
// the connection it came from: the place where the next message starts is unknown.
type Error struct {
	Side   Side
	Status int    // what to answer to the client: 400, 405, 408, 414, 417, 431, 501, 505; 502 for Upstream
	Reason string // stable and short, for logs and metrics: "bare_lf"
	Text   string // one plain sentence without any octet of the peer
}

// Error implements error.
func (e *Error) Error() string {
	what := "message"
	switch e.Side {
	case Client:
		what = "request"
	case Upstream:
		what = "response"
	case Internal:
	}
	return "cannot accept " + what + ": " + e.Text + " (" + e.Reason + ", status " + strconv.Itoa(e.Status) + ")"
}
