package l7

import (
	"cmp"
	"encoding/hex"
	"io"
	"math/rand/v2"
	"slices"
	"strconv"

	"github.com/valyala/fasthttp"

	"weir/l7/cache"
	"weir/l7/cache/policy"
	"weir/l7/message"
)

// serving is a stored body, or parts of it, on its way to a client.
type serving struct {
	on     bool  // x.res is what is served, and its body comes from the store
	left   int64 // octets of the part under way; -1: to the end of the body
	spans  []message.Span
	next   int // of spans
	server []byte

	// Of several parts (RFC 9110 section 14.6).
	boundary []byte
	typ      []byte // that each part has
	total    int64  // of the whole body
	part     []byte // head of a part, or the end behind the last one
	ended    bool
}

// reset makes it ready for the next response and keeps its memory.
func (s *serving) reset() {
	*s = serving{spans: s.spans[:0], part: s.part[:0], boundary: s.boundary[:0]}
}

// statusReasons are the reason phrases by status.
var statusReasons = func() (t [600][]byte) { // only read
	for status := range t {
		if text := fasthttp.StatusMessage(status); text != "Unknown Status Code" {
			t[status] = []byte(text)
		}
	}
	return t
}()

// serve answers with what is stored: it takes the place of a server's response.
func (x *exchange) serve(result cacheResult, why string) verdict {
	c := &x.cached
	c.result, c.why = result, why
	if c.round == 0 {
		x.acted.mirrored = nil // mirrors see what servers see
	}
	return x.serveAs(c.ref.Meta(), c.ref.Head())
}

// serveAs is serve with a head and a Meta that the store may not have.
func (x *exchange) serveAs(m *policy.Meta, stored []byte) verdict {
	c := &x.cached
	server, head := cutServer(stored)
	outcome, spans := policy.Evaluate(&x.req, m, head, c.ref.Length(), c.serving.spans[:0])
	x.present(outcome, spans, m, server, head)
	return fromStore
}

// serveFetched answers with what is being stored. The client for which it was fetched
// gets all that the server said, also what is not stored of it, unless it asked for
// less than the request did that went out.
func (x *exchange) serveFetched(m *policy.Meta) verdict {
	c := &x.cached
	server, head := cutServer(c.ref.Head())
	outcome, spans := policy.Whole, c.serving.spans[:0]
	if c.asks {
		outcome, spans = policy.Evaluate(&x.req, m, head, c.ref.Length(), spans)
	}
	if outcome != policy.Whole {
		x.present(outcome, spans, m, server, head)
		return fromStore
	}
	c.serving.on, c.serving.left = true, -1
	x.addStatus()
	return next
}

// statusOf is the status of what is sent.
func statusOf(o policy.Outcome, m *policy.Meta) int {
	switch o {
	case policy.NotModified:
		return 304
	case policy.Partial:
		return 206
	case policy.BadRange:
		return 416
	case policy.Whole:
	}
	return int(m.Status)
}

// present makes x.res of what is stored.
func (x *exchange) present(o policy.Outcome, spans []message.Span, m *policy.Meta, server []byte, head policy.Head) {
	s, r := &x.cached.serving, &x.res
	several := o == policy.Partial && len(spans) > 1
	if several && (x.route.hides(fieldContentType) || x.cached.ref.Growing() && !isAscending(spans)) {
		// Several parts come in an envelope that only its type describes, and a body that
		// grows is read forwards (RFC 9110 section 14.2 lets a server leave Range out of
		// account).
		o, several = policy.Whole, false
	}
	s.on, s.server, s.spans, s.total = true, server, spans, x.cached.totalLength()
	status := statusOf(o, m)
	r.Make(status, statusReasons[min(status, len(statusReasons)-1)])
	for name, value := range head.All() {
		switch {
		case status != int(m.Status) && policy.IsOmitted(status, name),
			x.cached.slices.on && message.EqualFold(name, "content-range"):
		case several && message.EqualFold(name, "content-type"):
			s.typ = value
		default:
			r.Add(name, value)
		}
	}
	x.addAge()
	x.addStatus()
	x.measure(o)
	if string(x.req.Method) == "HEAD" {
		r.Framing, s.ended = message.None, true
	}
}

// totalLength is the length of what is served, of which the Ref may hold a slice.
func (c *cached) totalLength() int64 {
	if c.slices.on {
		return c.slices.total
	}
	return c.ref.Length()
}

func isAscending(spans []message.Span) bool {
	return slices.IsSortedFunc(spans, func(a, b message.Span) int { return cmp.Compare(a.Start, b.Start) })
}

// addAge tells how old the response is (RFC 9111 section 5.1).
func (x *exchange) addAge() {
	c := &x.cached
	from := len(c.scratch)
	c.scratch = policy.AppendAge(c.scratch, c.found.Age)
	x.res.Add(fieldAge, c.written(from))
}

// written returns what was appended to scratch from an offset on.
func (c *cached) written(from int) []byte { return c.scratch[from:len(c.scratch):len(c.scratch)] }

// measure finds the length of what is sent, and adds the fields that tell it.
func (x *exchange) measure(o policy.Outcome) {
	c, r := &x.cached, &x.res
	s, from := &c.serving, len(c.scratch)
	switch {
	case o == policy.NotModified, r.Status == 204:
		s.ended = true
		return
	case o == policy.BadRange:
		c.scratch = strconv.AppendInt(append(c.scratch, "bytes */"...), s.total, 10)
		r.Add(fieldContentRange, c.written(from))
		r.ContentLength, s.ended = 0, true
	case o == policy.Partial && len(s.spans) > 1:
		r.ContentLength = x.beginParts()
	case o == policy.Partial:
		c.scratch = s.spans[0].AppendContentRange(c.scratch, s.total)
		r.Add(fieldContentRange, c.written(from))
		c.ref.SeekTo(s.spans[0].Start - c.slices.at)
		s.left, s.next = s.spans[0].Length, 1
		r.ContentLength = s.left
	default:
		s.left, s.next, r.ContentLength = s.total, len(s.spans), s.total
	}
	if r.Framing = message.Length; r.ContentLength < 0 {
		r.Framing = message.Chunked
		return
	}
	from = len(c.scratch)
	c.scratch = strconv.AppendInt(c.scratch, r.ContentLength, 10)
	r.Add(fieldContentLength, c.written(from))
}

var (
	fieldContentType   = []byte("Content-Type")
	fieldContentLength = []byte("Content-Length")
	fieldContentRange  = []byte("Content-Range")
)

// beginParts begins a multipart/byteranges body and returns its length (RFC 9110 section
// 14.6).
func (x *exchange) beginParts() (total int64) {
	c, s := &x.cached, &x.cached.serving
	var raw [12]byte
	for i := range raw {
		raw[i] = byte(rand.Uint32())
	}
	s.boundary = hex.AppendEncode(s.boundary[:0], raw[:])
	from := len(c.scratch)
	c.scratch = append(append(c.scratch, "multipart/byteranges; boundary="...), s.boundary...)
	x.res.Add(fieldContentType, c.written(from))
	for i := range s.spans {
		total += int64(len(s.appendPart(s.part[:0], i))) + s.spans[i].Length
	}
	return total + int64(len(s.appendPart(s.part[:0], len(s.spans))))
}

// appendPart appends what comes before a part, or behind the last one.
func (s *serving) appendPart(dst []byte, i int) []byte {
	dst = append(append(dst, "\r\n--"...), s.boundary...)
	if i == len(s.spans) {
		return append(dst, "--\r\n"...)
	}
	if s.typ != nil {
		dst = append(append(dst, "\r\nContent-Type: "...), s.typ...)
	}
	dst = append(dst, "\r\nContent-Range: "...)
	return append(s.spans[i].AppendContentRange(dst, s.total), "\r\n\r\n"...)
}

// readStored returns the next piece of what is served, io.EOF behind the last one. Before
// it waits for more, what is there is sent to the client.
func (x *exchange) readStored() ([]byte, error) {
	s := &x.cached.serving
	if s.left == 0 || s.ended {
		return x.nextPart()
	}
	if x.cached.slices.rest != nil {
		return x.readRest()
	}
	ref := x.storedBody()
	p, ready, err := ref.TryNext()
	if !ready {
		if wait := x.holdFor(); wait > 0 {
			p, err = ref.Next(x.whenGone(), wait)
			ready = err != cache.ErrSlow
		}
	}
	if !ready {
		if err := x.flushBody(); err != nil {
			return nil, &clientError{err}
		}
		stop := x.whenGone()
		x.c.await()
		p, err = ref.Next(stop, 0)
		x.c.awaited()
	}
	if err == io.EOF && s.left > 0 && x.cached.slices.on {
		return x.nextSlice()
	}
	if err != nil {
		if err == io.EOF && s.left > 0 {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	if s.left > 0 {
		p = p[:min(int64(len(p)), s.left)]
		s.left -= int64(len(p))
	}
	return p, nil
}

// nextPart goes on to the next of several parts, and returns what comes before it.
func (x *exchange) nextPart() ([]byte, error) {
	s := &x.cached.serving
	if s.ended || len(s.boundary) == 0 || s.next > len(s.spans) {
		return nil, io.EOF
	}
	s.part = s.appendPart(s.part[:0], s.next)
	if s.next < len(s.spans) {
		s.left = s.spans[s.next].Length
		x.cached.ref.SeekTo(s.spans[s.next].Start)
	}
	s.next++
	return s.part, nil
}

// storedBroke ends a response whose rest does not come into the store.
func (x *exchange) storedBroke(err error) verdict {
	if err == cache.ErrStopped || err == cache.ErrLagged || x.c.isGone() {
		return x.clientLost(err)
	}
	x.fail(message.Upstream, "truncated", err)
	x.h.Abort()
	return end
}

// storedTrailers are the trailer fields of what is served: those of the response that
// was fetched for this client, as they are not stored (RFC 9111 section 3.1).
func (x *exchange) storedTrailers() []message.Field {
	if f := x.cached.fetch; f != nil {
		return f.trailers
	}
	return nil
}
