package l7

import (
	"io"

	"weir/l7/compress"
	"weir/l7/message"
	"weir/l7/static"
	"weir/pool"
)

// Answers of the route's own: files and fixed responses. What is short is encoded once and
// kept, and has a length then; a longer file is encoded each time, while it is read.

// ownCoded is the encoded form of an answer of the route's own.
type ownCoded struct {
	body []byte // whole; nil: it is encoded while it is sent, or not at all
	in   int64  // octets that it was
	sent bool   // for the counters
}

// judgeOwn decides whether an answer is encoded that has such a status, type, coding (""
// for none) and length.
func (x *exchange) judgeOwn(status int, typ []byte, coding string, length int64) {
	p := x.route.compress
	if p == nil {
		return
	}
	r, a := &x.res, &x.route.act.response
	r.Make(status, nil)
	if typ != nil && !a.drops(fieldContentType) {
		r.Add(fieldContentType, typ)
	}
	if coding != "" {
		r.Add(fieldContentEncoding, []byte(coding))
	}
	scratch := x.acted.rendered[:0]
	for i := range a.put {
		switch f := &a.put[i]; f.known {
		case message.ContentType, message.CacheControl, message.SetCookie, message.ContentEncoding:
			from := len(scratch)
			scratch = f.value.AppendText(scratch, &x.acted.values)
			r.Add(f.name, scratch[from:len(scratch):len(scratch)])
		default:
		}
	}
	x.acted.rendered = scratch
	r.ContentLength = length
	x.coder.judged, x.coder.verdict = true, p.Judge(&x.req, r, false)
}

var fieldContentEncoding = []byte("Content-Encoding") // only read

// unjudge has the answer sent as it is, for a reason.
func (x *exchange) unjudge(why compress.Reason) {
	v := &x.coder.verdict
	v.Coding, v.Reason = compress.Identity, why
}

// appendOwnCoding appends the fields that encoding adds to an answer of the route's own.
// varies says that there are other forms of it for other reasons.
func (x *exchange) appendOwnCoding(head []byte, varies bool) []byte {
	if x.codes() {
		head = append(head, "Content-Encoding: "...)
		head = append(head, x.coder.verdict.Coding.String()...)
		head = append(head, '\r', '\n')
	}
	if (varies || x.coder.verdict.Varies) && !x.route.act.response.variesBy("accept-encoding", &x.acted.values) {
		head = append(head, "Vary: Accept-Encoding\r\n"...)
	}
	return head
}

// codeFile decides whether the file is encoded, and how. On a lane it says leave where that
// would take time.
func (x *exchange) codeFile() verdict {
	fa := &x.acted.file
	x.judgeOwn(200, fa.Type, fa.Encoding, fa.Size)
	k := &x.coder
	var tag [64]byte
	fa.weak = x.codes() || fa.Encoding == "" && k.judged && compress.NamesWeak(x.req.Fields, fa.AppendETag(tag[:0]))
	switch {
	case !x.codes():
		return next
	case fa.outcome != static.Whole: // of a range the request is what says so: see Judge
		x.unjudge(compress.NoBody)
		return next
	case !fa.IsKept():
		return next // it is encoded while it is sent
	}
	c := k.verdict.Coding
	if k.own.body = fa.Encoded(c.String()); k.own.body != nil {
		return next
	}
	if x.ride.desk != nil {
		return leave
	}
	return x.encodeKept(c)
}

// encodeKept encodes a file that is in memory, and has it kept unless that was done
// hastily.
func (x *exchange) encodeKept(c compress.Coding) verdict {
	fa, steps := &x.acted.file, x.s.governor.Steps()
	sink := new(compress.Gathered)
	e := x.s.encoders.Get(c, x.route.compress.Level(c, steps), fa.Size, sink)
	if e == nil {
		x.unjudge(compress.Busy)
		fa.weak = false
		return next
	}
	defer e.Release()
	err := writeTo(e, fa.File)
	if err == nil {
		err = e.Close()
	}
	if err != nil {
		return x.refuse(500, message.Internal, "file", err)
	}
	x.coder.own.body = sink.Body
	if steps == 0 {
		fa.Keep(c.String(), sink.Body)
	}
	return next
}

// writeTo gives a file that is kept to an encoder.
func writeTo(e *compress.Encoder, f *static.File) error {
	if f.Body != nil {
		return e.Write(f.Body)
	}
	buf := pool.Get(static.MaxKept)
	defer buf.Release()
	n, err := f.ReadAt(buf.B[:f.Size], 0)
	if int64(n) < f.Size {
		return err
	}
	return e.Write(buf.B[:n])
}

// beginEncodedFile has a file encoded of which no encoded form is kept, where there is
// memory for that.
func (x *exchange) beginEncodedFile() {
	k := &x.coder
	if !x.codes() || k.own.body != nil || string(x.req.Method) == "HEAD" {
		return
	}
	c := k.verdict.Coding
	level := x.route.compress.Level(c, x.s.governor.Steps())
	if k.encoder = x.s.encoders.Get(c, level, x.acted.file.Size, (*codedSink)(x)); k.encoder == nil {
		x.unjudge(compress.Busy)
		x.acted.file.weak = false
	}
}

// deliverEncoded sends a file encoded, of which no encoded form is kept.
func (x *exchange) deliverEncoded(head []byte) verdict {
	k := &x.coder
	framing := message.Chunked
	if string(x.req.Method) == "HEAD" {
		framing = message.None
	} else {
		head = append(head, "Transfer-Encoding: chunked\r\n"...)
	}
	if err := x.h.WriteHead(x.endAnswer(head), framing, 0); err != nil {
		return x.clientLost(err)
	}
	if k.encoder != nil {
		if v := x.encodeFile(); v != next {
			return v
		}
		if _, err := x.endCoding(nil); err != nil {
			return x.clientLost(err)
		}
	}
	return x.endBody()
}

// encodeFile reads the file to its end and encodes it.
func (x *exchange) encodeFile() verdict {
	fa := &x.acted.file
	buf := pool.Get(int(min(fa.Size, filePiece)))
	defer buf.Release()
	for at := int64(0); at < fa.Size; {
		n, err := fa.ReadAt(buf.B[:min(int64(len(buf.B)), fa.Size-at)], at)
		if n == 0 {
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return x.fileLost(err)
		}
		if err := x.coder.encoder.Write(buf.B[:n]); err != nil {
			return x.clientLost(err)
		}
		at += int64(n)
	}
	return next
}

// filePiece is how much of a file is read at a time.
const filePiece = 64 << 10
