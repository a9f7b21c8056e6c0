package l7

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"strconv"

	"weir/l7/message"
	"weir/l7/static"
)

// fileAnswer is a file on its way to a client. Its ranges are kept for the next.
type fileAnswer struct {
	*static.File
	outcome static.Outcome
	ranges  []message.Span
	weak    bool // the client has, or gets, an encoded form
	opened  bool // it was not kept in memory
}

// openFile finds the file of a request and decides what of it is sent.
func (x *exchange) openFile(a *action) verdict {
	r := &x.req
	get := string(r.Method) == "GET"
	if !get && string(r.Method) != "HEAD" {
		x.fail(message.Client, "method_not_allowed", nil)
		x.reply = reply{status: 405, allow: []byte("GET, HEAD")}
		return respond
	}
	path := r.Path
	if t := x.acted.target; t != nil {
		path = withoutQuery(t)
	}
	if path[len(path)-1] == '/' && a.prefix != "" && string(r.Match) == a.prefix {
		return x.addSlash() // "/files" of the route "/files/" is a directory, whatever the rewrite made of it
	}
	f := a.files.Kept(path, r.Fields, x.started)
	if f == nil {
		if x.ride.desk != nil {
			x.acted.opening = true
			return leave
		}
		var v verdict
		if f, v = x.openPath(a, path); f == nil {
			return v
		}
	}
	fa := &x.acted.file
	fa.File, fa.opened = f, fa.opened || !f.IsKept()
	fa.outcome, fa.ranges = f.Decide(r.Fields, get, fa.ranges[:0])
	if len(fa.ranges) > 1 && a.response.drops([]byte("content-type")) {
		// Several ranges come in an envelope that only its type describes (RFC 9110
		// section 14.2 lets a server leave Range out of account).
		fa.outcome = static.Whole
	}
	v := x.codeFile()
	if v == leave {
		_ = fa.Close() // it is kept
		fa.File, x.acted.opening = nil, true
		return v
	}
	x.acted.answer = (*exchange).deliverFile
	return respond
}

// openPath opens the file of a path, or says what the answer is without it.
func (x *exchange) openPath(a *action, path []byte) (*static.File, verdict) {
	f, err := a.files.Open(path, x.req.Fields)
	switch err {
	case nil:
		return f, next
	case static.ErrDirectory:
		return nil, x.addSlash()
	case static.ErrNotFound:
		return nil, x.refuse(404, message.Client, "no_file", nil)
	case static.ErrForbidden:
		return nil, x.refuse(403, message.Client, "file_forbidden", nil)
	}
	if isOutOfDescriptors(err) {
		x.s.Shed()
	}
	return nil, x.refuse(500, message.Internal, "file", err)
}

func withoutQuery(target []byte) []byte {
	for i, c := range target {
		if c == '?' {
			return target[:i]
		}
	}
	return target
}

// addSlash redirects from a directory to the same path with a slash, as the client
// sees it, so that relative links lead to where they should. A path of two slashes
// would be another host: it gets one.
func (x *exchange) addSlash() verdict {
	r := &x.req
	path := r.Path
	for len(path) > 1 && path[1] == '/' {
		path = path[1:]
	}
	if path[len(path)-1] == '/' {
		// A rewrite took the slash away: another one would lead here again.
		return x.refuse(404, message.Client, "no_file", nil)
	}
	location := append([]byte(nil), path...)
	location = append(location, '/')
	if r.HasQuery {
		location = append(location, '?')
		location = append(location, r.Query...)
	}
	x.reply = reply{status: 308, location: location, text: "This is a directory; its address ends with a slash."}
	return respond
}

// deliverFile sends the file, its ranges, or what became of the conditions.
func (x *exchange) deliverFile() verdict {
	fa := &x.acted.file
	defer func() {
		_ = fa.Close() // it was only read from
		fa.File = nil
	}()
	switch fa.outcome {
	case static.NotModified:
		return x.deliverNoBody(304)
	case static.Failed:
		return x.deliverNoBody(412)
	case static.Unsatisfiable:
		return x.deliverNoBody(416)
	case static.Partial:
		if len(fa.ranges) > 1 {
			return x.deliverRanges()
		}
		return x.deliverRange(206, fa.ranges[0])
	case static.Whole:
		x.beginEncodedFile()
	}
	return x.deliverRange(200, message.Span{Length: fa.Size})
}

// appendFileFields appends what describes the file, whatever of it is sent.
func (x *exchange) appendFileFields(head []byte) []byte {
	fa := &x.acted.file
	var buf [64]byte
	tag := buf[:0]
	if fa.weak {
		tag = append(tag, 'W', '/')
	}
	head = x.appendOwn(head, "etag", "ETag: ", fa.AppendETag(tag))
	head = x.appendOwn(head, "last-modified", "Last-Modified: ", fa.AppendModified(buf[:0]))
	return x.appendOwnCoding(head, fa.Vary)
}

// deliverNoBody sends a status without a body, and for 416 the size that ranges must
// lie in (RFC 9110 section 14.4).
func (x *exchange) deliverNoBody(status int) verdict {
	head := x.appendFileFields(x.beginAnswer(status))
	if status == 416 {
		head = append(head, "Content-Range: bytes */"...)
		head = strconv.AppendInt(head, x.acted.file.Size, 10)
		head = append(head, '\r', '\n')
	}
	framing := message.None
	if status != 304 {
		head = appendContentLength(head, 0)
		if string(x.req.Method) != "HEAD" {
			framing = message.Length
		}
	}
	if err := x.h.WriteHead(x.endAnswer(head), framing, 0); err != nil {
		return x.clientLost(err)
	}
	return x.endBody()
}

// appendRepresentation appends what describes the octets of a whole file.
func (x *exchange) appendRepresentation(head []byte) []byte {
	fa := &x.acted.file
	head = x.appendFileFields(head)
	if !x.codes() {
		head = x.appendOwn(head, "accept-ranges", "Accept-Ranges: ", []byte("bytes"))
	}
	if fa.Encoding != "" {
		head = append(head, "Content-Encoding: "...)
		head = append(head, fa.Encoding...)
		head = append(head, '\r', '\n')
	}
	return head
}

// deliverRange sends the whole file, or one range of it.
func (x *exchange) deliverRange(status int, r message.Span) verdict {
	fa := &x.acted.file
	head := x.appendRepresentation(x.beginAnswer(status))
	head = x.appendOwn(head, "content-type", "Content-Type: ", fa.Type)
	body := fa.Body
	switch {
	case x.coder.own.body != nil:
		body, r = x.coder.own.body, message.Span{Length: int64(len(x.coder.own.body))}
		x.coder.own.in, x.coder.own.sent = fa.Size, string(x.req.Method) != "HEAD"
	case x.codes():
		return x.deliverEncoded(head)
	}
	if status == 206 {
		head = append(head, "Content-Range: "...)
		head = append(r.AppendContentRange(head, fa.Size), '\r', '\n')
	}
	head = appendContentLength(head, r.Length)
	framing := message.Length
	if string(x.req.Method) == "HEAD" {
		framing, r.Length = message.None, 0
	}
	if err := x.h.WriteHead(x.endAnswer(head), framing, r.Length); err != nil {
		return x.clientLost(err)
	}
	if err := x.writeFile(body, r); err != nil {
		return x.fileLost(err)
	}
	return x.endBody()
}

// writeFile sends a part of the file: of body where it is in memory.
func (x *exchange) writeFile(body []byte, r message.Span) error {
	switch {
	case r.Length == 0:
		return nil
	case body != nil:
		return x.h.WriteBody(body[r.Start:][:r.Length])
	}
	return x.h.WriteFile(x.acted.file.File.File, r.Start, r.Length)
}

// deliverRanges sends several ranges as multipart/byteranges (RFC 9110 section 14.6).
func (x *exchange) deliverRanges() verdict {
	fa := &x.acted.file
	var raw [12]byte
	for i := range raw {
		raw[i] = byte(rand.Uint32())
	}
	boundary := hex.AppendEncode(nil, raw[:])
	parts := make([][]byte, len(fa.ranges))
	last := append(append([]byte("\r\n--"), boundary...), "--\r\n"...)
	total := int64(len(last))
	for i, r := range fa.ranges {
		p := append(append([]byte("\r\n--"), boundary...), "\r\nContent-Type: "...)
		p = append(append(p, fa.Type...), "\r\nContent-Range: "...)
		parts[i] = append(r.AppendContentRange(p, fa.Size), "\r\n\r\n"...)
		total += int64(len(parts[i])) + r.Length
	}
	head := x.appendRepresentation(x.beginAnswer(206))
	head = append(head, "Content-Type: multipart/byteranges; boundary="...)
	head = append(append(head, boundary...), '\r', '\n')
	head = x.endAnswer(appendContentLength(head, total))
	if err := x.h.WriteHead(head, message.Length, total); err != nil {
		return x.clientLost(err)
	}
	for i, r := range fa.ranges {
		if err := x.h.WriteBody(parts[i]); err != nil {
			return x.clientLost(err)
		}
		if err := x.writeFile(fa.Body, r); err != nil {
			return x.fileLost(err)
		}
	}
	if err := x.h.WriteBody(last); err != nil {
		return x.clientLost(err)
	}
	return x.endBody()
}

// fileLost ends a response whose file became shorter while it was sent, or cannot be
// read, or whose client went away.
func (x *exchange) fileLost(err error) verdict {
	if err != io.ErrUnexpectedEOF && !isFileFault(err) {
		return x.clientLost(err)
	}
	x.fail(message.Internal, "file", fmt.Errorf("cannot send file %q: %w", x.acted.file.Name(), err))
	x.h.Abort()
	return end
}

// isFileFault reports whether an error is that of reading the file: those of the
// connection have another type.
func isFileFault(err error) bool {
	_, ok := errors.AsType[*fs.PathError](err)
	return ok
}
