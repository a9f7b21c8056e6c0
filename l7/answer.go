package l7

import (
	"slices"
	"strconv"

	"github.com/valyala/fasthttp"

	"weir/l7/compress"
	"weir/l7/message"
)

// deliverFixed sends a fixed response or a redirect.
func (x *exchange) deliverFixed() verdict {
	a := x.route.act
	status, typ, body := 0, []byte(nil), []byte(nil)
	if a.redirect != nil {
		status, typ, body = a.redirect.status, plainText, redirectBody(a.redirect.status)
	} else {
		status, typ, body = a.fixed.status, a.fixed.typ, a.fixed.body
	}
	if a.fixed != nil {
		body = x.codeFixed(a.fixed)
	}
	head := x.beginAnswer(status)
	if typ != nil {
		head = x.appendOwn(head, "content-type", "Content-Type: ", typ)
	}
	head = x.appendOwnCoding(head, false)
	if x.acted.location != nil {
		head = x.appendOwn(head, "location", "Location: ", x.acted.location)
	}
	framing := message.Length
	switch status {
	case 204, 304:
		framing, body = message.None, nil
	default:
		head = appendContentLength(head, int64(len(body)))
	}
	if string(x.req.Method) == "HEAD" {
		framing, body = message.None, nil
	}
	if err := x.h.WriteHead(x.endAnswer(head), framing, int64(len(body))); err != nil {
		return x.clientLost(err)
	}
	if err := x.h.WriteBody(body); err != nil {
		return x.clientLost(err)
	}
	return x.endBody()
}

// codeFixed returns the body of a fixed response in the coding for this client.
func (x *exchange) codeFixed(f *fixed) []byte {
	x.judgeOwn(f.status, f.typ, "", int64(len(f.body)))
	c := x.coder.verdict.Coding
	if c == compress.Identity {
		return f.body
	}
	x.coder.own = ownCoded{body: f.coded[c], in: int64(len(f.body)), sent: string(x.req.Method) != "HEAD"}
	return f.coded[c]
}

var plainText = []byte("text/plain; charset=utf-8")

// beginAnswer begins the head of an answer of the route's own.
func (x *exchange) beginAnswer(status int) []byte {
	x.status = status
	head := message.AppendStatusLine(x.h.AvailableBuffer(), status, []byte(fasthttp.StatusMessage(status)))
	if !x.route.act.response.drops([]byte("date")) {
		head = x.appendDate(head)
	}
	return head
}

// appendOwn appends a field unless the route sets or removes it. lower is its name in
// lower case, name the beginning of its line.
func (x *exchange) appendOwn(head []byte, lower, name string, value []byte) []byte {
	if slices.Contains(x.route.act.response.drop, lower) {
		return head
	}
	head = append(head, name...)
	head = append(head, value...)
	return append(head, '\r', '\n')
}

func appendContentLength(head []byte, n int64) []byte {
	head = append(head, "Content-Length: "...)
	head = strconv.AppendInt(head, n, 10)
	return append(head, '\r', '\n')
}

// endAnswer completes the head.
func (x *exchange) endAnswer(head []byte) []byte {
	head = x.route.act.response.append(head, &x.acted.values)
	head = x.appendConnection(head, x.mayKeepAlive())
	return append(head, '\r', '\n')
}

// endBody ends an answer of the route's own.
func (x *exchange) endBody() verdict {
	if err := x.h.EndBody(nil); err != nil {
		return x.clientLost(err)
	}
	return next
}
