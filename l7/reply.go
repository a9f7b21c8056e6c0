package l7

import (
	"strconv"

	"github.com/valyala/fasthttp"

	"weir/l7/message"
)

// reply is an answer of Weir's own. Its text tells the client what it can act on
// and nothing about the servers behind.
type reply struct {
	status     int
	location   []byte
	allow      []byte
	retryAfter int    // seconds; 0: the client is not told
	text       string // "": the usual text of the status
}

// texts are the usual texts.
var texts = map[int]string{
	308: "This is served by https.",
	400: "The request is malformed.",
	404: "There is nothing at this address.",
	405: "The method is not allowed here.",
	408: "The request did not arrive in time.",
	413: "The request body is too large.",
	414: "The request target is too long.",
	417: "The expectation cannot be met.",
	421: "The host is not served on this connection.",
	431: "The request head is too large.",
	500: "The proxy failed.",
	501: "The transfer coding is not supported.",
	502: "The server behind the proxy gave no valid answer.",
	503: "No server is available to answer. Please try again.",
	504: "The server behind the proxy did not answer in time.",
	505: "The protocol version is not supported.",
}

// soon is Retry-After, in seconds, where nobody knows better.
const soon = 1

// deliverReply sends x.reply.
func (x *exchange) deliverReply() verdict {
	r := &x.reply
	text := r.text
	if text == "" {
		text = texts[r.status]
	}
	body := strconv.AppendInt(nil, int64(r.status), 10)
	body = append(body, ' ')
	body = append(body, fasthttp.StatusMessage(r.status)...)
	body = append(body, "\n\n"...)
	body = append(body, text...)
	body = append(body, "\nRequest id: "...)
	body = append(body, x.requestID()...)
	body = append(body, '\n')

	// What is left of an unwanted body is drained if it is short; else the
	// connection ends, and must say so.
	keep := x.mayKeepAlive()
	head := message.AppendStatusLine(x.h.AvailableBuffer(), r.status, []byte(fasthttp.StatusMessage(r.status)))
	head = x.appendDate(head)
	head = append(head, "Content-Type: text/plain; charset=utf-8\r\nContent-Length: "...)
	head = strconv.AppendInt(head, int64(len(body)), 10)
	head = append(head, "\r\nCache-Control: no-store\r\n"...)
	if r.location != nil {
		head = message.AppendField(head, []byte("Location"), r.location)
	}
	if r.allow != nil {
		head = message.AppendField(head, []byte("Allow"), r.allow)
	}
	if r.retryAfter > 0 {
		head = append(head, "Retry-After: "...)
		head = strconv.AppendInt(head, int64(r.retryAfter), 10)
		head = append(head, '\r', '\n')
	}
	head = message.AppendField(head, []byte("X-Request-Id"), x.requestID())
	head = x.appendConnection(head, keep)
	head = append(head, '\r', '\n')

	x.status = r.status
	framing := message.Length
	if string(x.req.Method) == "HEAD" {
		framing, body = message.None, nil
	}
	err := x.h.WriteHead(head, framing, int64(len(body)))
	if err == nil {
		err = x.h.WriteBody(body)
	}
	if err == nil {
		err = x.h.EndBody(nil)
	}
	if err != nil {
		x.fail(message.Client, "client_gone", err)
		return end
	}
	return next
}

// mayKeepAlive decides whether the connection can be used again and holds to it.
// What follows a tunnel that was refused may be anything but a request.
func (x *exchange) mayKeepAlive() bool {
	if !x.req.WebSocket && !x.req.Connect && x.settleUpload() && x.h.KeepAlive() && !x.c.mustClose() {
		return true
	}
	x.h.SetClose()
	return false
}

// appendConnection appends what the client has to know of the connection.
func (x *exchange) appendConnection(dst []byte, keep bool) []byte {
	switch {
	case !keep:
		return append(dst, "Connection: close\r\n"...)
	case x.req.Minor == 0:
		return append(dst, "Connection: keep-alive\r\n"...)
	}
	return dst
}
