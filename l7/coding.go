package l7

import (
	"time"

	"weir/l7/cache"
	"weir/l7/compress"
	"weir/l7/message"
	"weir/pool/metric"
)

// coder is the encoding of the response under way. The zero value leaves it as it is.
type coder struct {
	judged     bool // the route compresses, and verdict says what came of it
	verdict    compress.Verdict
	encoder    *compress.Encoder // nil where nothing is encoded, or there is no body
	restored   bool              // If-None-Match has a tag that Weir had weakened
	heldSince  time.Time         // when octets began to wait in the encoder; zero: none do, or not for long
	ref        cache.Ref         // the encoded form in the store that is served; holds nothing where there is none
	collecting collecting
	fill       *cache.Fill // of the encoded form into the store; nil: it is not stored
	own        ownCoded    // of an answer of the route's own
}

// chooseCoding decides whether and how the response is encoded for this client. It
// comes after frame, whose decision it may change.
func (x *exchange) chooseCoding() {
	p := x.route.compress
	if p == nil || x.res.WebSocket {
		return
	}
	k := &x.coder
	d := x.findDictionary(p)
	k.judged, k.verdict = true, p.Judge(&x.req, &x.res, d != nil)
	if x.res.Status == 304 {
		k.verdict.Varies = p.MayVary(x.confirmedType())
	}
	x.beginCollecting(p)
	c := k.verdict.Coding
	if x.framing == message.None || c == compress.Identity || x.takeCoded(c) {
		return
	}
	level, length := p.Level(c, x.s.governor.Steps()), x.res.ContentLength
	if c != c.Base() {
		k.encoder = x.s.encoders.GetWith(d, c, level, length, (*codedSink)(x))
	} else {
		k.encoder = x.s.encoders.Get(c, level, length, (*codedSink)(x))
	}
	if k.encoder == nil {
		k.verdict.Coding, k.verdict.Reason = compress.Identity, compress.Busy
		return
	}
	x.framing, x.length = message.Chunked, 0
	x.beginCoded(c)
}

// confirmedType is the media type of what a 304 confirms, nil where it is not known.
func (x *exchange) confirmedType() []byte {
	if x.cached.serving.on && x.cached.ref.Held() {
		_, head := cutServer(x.cached.ref.Head())
		return head.Get("content-type")
	}
	return x.res.Get(message.ContentType)
}

// codes reports whether the head describes an encoded body. A response to HEAD does,
// where one to GET would be encoded.
func (x *exchange) codes() bool { return x.coder.verdict.Coding != compress.Identity }

// appendCoded appends what encoding makes of a field; others are left to the caller.
func (x *exchange) appendCoded(dst []byte, f *message.Field) ([]byte, bool) {
	switch {
	case f.Known == message.ETag && (x.codes() || x.revalidates(f.Value)):
		dst = append(dst, f.Name...)
		dst = append(dst, ':', ' ')
		dst = x.s.tags.AppendWeak(dst, x.route.pool, f.Value)
		return append(dst, '\r', '\n'), true
	case x.codes():
		return dst, compress.Drops(f)
	}
	return dst, false
}

// revalidates reports whether the response, which has a tag, tells a client that what it
// has is still good, and that is an encoded response with the weak form of the tag. Weir
// may have forgotten that it was the one to weaken it.
func (x *exchange) revalidates(tag []byte) bool {
	return x.res.Status == 304 && (x.coder.restored || compress.NamesWeak(x.req.Fields, tag))
}

// appendCodingFields appends the fields that encoding adds.
func (x *exchange) appendCodingFields(dst []byte) []byte {
	if x.codes() {
		dst = append(dst, "Content-Encoding: "...)
		dst = append(dst, x.coder.verdict.Coding.String()...)
		dst = append(dst, '\r', '\n')
	}
	if x.coder.ref.Held() {
		dst = appendContentLength(dst, x.length)
	}
	if x.coder.verdict.Varies {
		if !x.variesBy("accept-encoding") {
			dst = append(dst, "Vary: Accept-Encoding\r\n"...)
		}
		if x.route.compress.Dictionary() != nil && !x.variesBy("available-dictionary") {
			dst = append(dst, "Vary: Available-Dictionary\r\n"...)
		}
	}
	if x.coder.collecting.on && !compress.HasUseAs(x.res.Fields) {
		dst = x.route.compress.Dictionary().AppendUseAs(dst)
	}
	return dst
}

// variesBy reports whether the client is told already that the response depends on a field
// of the request, by the server as far as the route lets its Vary pass, or by the route.
func (x *exchange) variesBy(name string) bool {
	if !x.route.hides(fieldVary) && compress.VariesBy(x.res.Fields, name) {
		return true
	}
	return x.route.act != nil && x.route.act.response.variesBy(name, &x.acted.values)
}

var fieldVary = []byte("vary") // only read

// writeBody sends a piece of the body, encoded where that was decided.
func (x *exchange) writeBody(p []byte) error {
	x.collect(p)
	if x.coder.encoder != nil {
		return x.coder.encoder.Write(p)
	}
	return x.h.WriteBody(p)
}

// restoreTags gives the request the tags that the server knows, before anything looks at
// them.
func (x *exchange) restoreTags() {
	if x.route.compress != nil {
		x.coder.restored = x.s.tags.Restore(x.route.pool, x.req.Fields)
	}
}

// endCoding completes the encoded stream, for the whole body has come, and returns
// the trailers that are still true.
func (x *exchange) endCoding(trailers []message.Field) ([]message.Field, error) {
	x.endCollecting()
	if x.coder.encoder == nil {
		return trailers, nil
	}
	if err := x.coder.encoder.Close(); err != nil {
		return nil, err
	}
	x.endCoded(true)
	return without(trailers, compress.DropsTrailer), nil
}

// countCoding counts what came of the response, and gives the encoder back.
func (x *exchange) countCoding() {
	k := &x.coder
	if !k.judged {
		return
	}
	x.dropCollected()
	n := &x.l.codings
	switch e := k.encoder; {
	case e != nil:
		c := k.verdict.Coding
		in, out := e.Counts()
		n.responses[c].Inc()
		n.in[c].Add(in)
		n.out[c].Add(out)
		e.Release()
		k.encoder = nil
		x.endCoded(false)
	case k.ref.Held():
		c := k.verdict.Coding
		n.responses[c].Inc()
		n.in[c].Add(uint64(x.cached.serving.total))
		n.out[c].Add(uint64(k.ref.Length()))
		k.ref.Release()
	case k.own.sent:
		c := k.verdict.Coding
		n.responses[c].Inc()
		n.in[c].Add(uint64(k.own.in))
		n.out[c].Add(uint64(len(k.own.body)))
	case k.verdict.Reason != compress.Encoded:
		n.skipped[k.verdict.Reason].Inc()
	}
}

// codingCounters are the counters of a listener, by coding and by reason.
type codingCounters struct {
	responses, in, out, skipped []*metric.Counter
}

func newCodingCounters(m *metric.Registry, listener string) (n codingCounters) {
	all := len(compress.Codings) + 1 // Identity has none
	n.responses, n.in, n.out = make([]*metric.Counter, all), make([]*metric.Counter, all), make([]*metric.Counter, all)
	for _, c := range compress.Codings {
		n.responses[c] = m.Counter(metric.L7CompressedResponses, listener, c.String())
		n.in[c] = m.Counter(metric.L7CompressInBytes, listener, c.String())
		n.out[c] = m.Counter(metric.L7CompressOutBytes, listener, c.String())
	}
	n.skipped = make([]*metric.Counter, len(compress.Reasons())+1)
	for _, r := range compress.Reasons() {
		n.skipped[r] = m.Counter(metric.L7CompressSkipped, listener, r.String())
	}
	return n
}
