package torture

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// An HTTP backend does what the path of a request asks it to: /HOW/ID/LENGTH, the
// length that of the right answer's body.

// exchange is one request at a backend.
type exchange struct {
	*backend
	*peer

	req  *http.Request
	how  string
	id   uint64
	n    int64
	seen int // times that backends saw this request, this one included
}

// behaviours by their name. Each returns whether the connection goes on.
var behaviours = map[string]func(*exchange) bool{
	"whole":       func(x *exchange) bool { return x.take() && x.answer(x.n) },
	"chunked":     func(x *exchange) bool { return x.take() && x.chunks(x.n, true) },
	"cut-length":  func(x *exchange) bool { x.length(x.n / 2); return false },
	"cut-chunked": func(x *exchange) bool { x.chunks(x.n/2, false); return false },
	"rst-length":  func(x *exchange) bool { x.length(x.n / 2); x.settle(); x.reset(); return false },
	"rst-chunked": func(x *exchange) bool { x.chunks(x.n/2, false); x.settle(); x.reset(); return false },
	"fin":         func(x *exchange) bool { x.take(); x.answer(x.n); return false },
	"stale":       func(x *exchange) bool { x.take(); x.answer(x.n); x.settle(); return false },
	"die":         func(x *exchange) bool { x.take(); return false },
	"die-once":    func(x *exchange) bool { return x.seen > 1 && x.take() && x.answer(x.n) },
	"surplus":     func(x *exchange) bool { return x.take() && x.surplus() },
	"slow":        func(x *exchange) bool { return x.take() && x.slowly() },
	"half":        func(x *exchange) bool { x.length(x.n / 2); x.untilEnd(); return false },
	"late":        func(x *exchange) bool { x.settle(); return x.take() && x.answer(x.n) },
	"hang":        func(x *exchange) bool { x.untilEnd(); return false },
	"early":       (*exchange).early,
	"head":        (*exchange).head,
}

// garbage is what no client may take for an answer, by its name.
var garbage = map[string]string{
	"no-status": "hello\r\n\r\n",
	"nul":       "HTTP/1.1 200 OK\r\nX: a\x00b\r\nContent-Length: 0\r\n\r\n",
	"two-ways":  "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"lengths":   "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
	"endless":   "HTTP/1.1 200 OK\r\n" + strings.Repeat("X-Filler: "+strings.Repeat("x", 1000)+"\r\n", 1000) + "\r\n",
	"interim":   strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 5000),
}

// shortWhile is long enough for the other side to see what happened before.
const shortWhile = 20 * time.Millisecond

func (x *exchange) settle() { <-time.After(shortWhile) }

// serveHTTP is the serve function of an HTTP backend.
func serveHTTP(b *backend, p *peer) {
	for {
		b.wait()
		req, err := http.ReadRequest(p.r)
		if err != nil {
			return
		}
		b.wait()
		if !serveOne(b, p, req) {
			return
		}
		// What is left of the request's body would be read as the next request.
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			return
		}
	}
}

func serveOne(b *backend, p *peer, req *http.Request) (goOn bool) {
	part := strings.Split(strings.Trim(req.URL.Path, "/"), "/")
	if len(part) != 3 {
		_, _ = io.WriteString(p, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
		return true
	}
	id, err1 := strconv.ParseUint(part[1], 10, 64)
	n, err2 := strconv.ParseInt(part[2], 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		b.oracle.accuse("a backend was asked for %q: %v", req.URL.Path, err)
		return false
	}
	b.served.Add(1)
	b.active.Add(1)
	defer b.active.Add(-1)
	x := &exchange{backend: b, peer: p, req: req, how: part[0], id: id, n: n}
	x.seen = b.oracle.see(id, req.Method)
	if text, ok := garbage[x.how]; ok {
		_, _ = io.WriteString(p, text)
		return false
	}
	f := behaviours[x.how]
	if f == nil {
		b.oracle.accuse("a backend was asked for the unknown behaviour %q", x.how)
		return false
	}
	return f(x)
}

// take reads the body of the request and compares it; it reports whether it was whole.
func (x *exchange) take() bool {
	if x.req.ContentLength == 0 {
		return true
	}
	_, err := io.Copy(newChecker(x.id), x.req.Body)
	if wrong := (errWrongBytes{}); errors.As(err, &wrong) {
		x.oracle.accuse("upload %d reached a backend with %v", x.id, wrong)
	}
	if err == nil {
		x.oracle.change(x.id, func(t *trace) { t.whole = true })
	}
	return err == nil
}

func (x *exchange) say(format string, args ...any) bool {
	_, err := fmt.Fprintf(x.peer, format, args...)
	return err == nil
}

// send sends the first n bytes of the body and waits while the backend is stalled.
func (x *exchange) send(n int64) bool {
	const step = 64 << 10
	for body := newBody(x.id); n > 0; n -= step {
		x.wait()
		k, err := io.CopyN(x.peer, body, min(n, step))
		x.sent.Add(k)
		if err != nil {
			return false
		}
	}
	return true
}

// length announces the whole body and sends its first n bytes.
func (x *exchange) length(n int64) bool {
	return x.say("HTTP/1.1 200 OK\r\nX-Id: %d\r\nContent-Length: %d\r\n\r\n", x.id, x.n) && x.send(n)
}

func (x *exchange) answer(n int64) bool { return x.length(n) }

// chunks sends the first n bytes of the body in chunks of different length, and the
// last chunk where it is asked to.
func (x *exchange) chunks(n int64, last bool) bool {
	if !x.say("HTTP/1.1 200 OK\r\nX-Id: %d\r\nTransfer-Encoding: chunked\r\n\r\n", x.id) {
		return false
	}
	body := newBody(x.id)
	for i := int64(0); n > 0; i++ {
		k := min(n, 1+(i*i*997)%9973)
		x.wait()
		if !x.say("%x\r\n", k) {
			return false
		}
		if _, err := io.CopyN(x.peer, body, k); err != nil || !x.say("\r\n") {
			return false
		}
		x.sent.Add(k)
		n -= k
	}
	return !last || x.say("0\r\n\r\n")
}

// surplus says more than was asked for: an answer to nobody. It comes at once with
// the end of the right answer. Were it to come later, when the connection already
// carries the next request, nobody could tell it from the answer to that one.
func (x *exchange) surplus() bool {
	body, err := io.ReadAll(bodyOf(x.id, min(x.n, 4<<10)))
	if err != nil || int64(len(body)) < x.n {
		return x.answer(x.n)
	}
	return x.say("HTTP/1.1 200 OK\r\nX-Id: %d\r\nContent-Length: %d\r\n\r\n%s"+
		"HTTP/1.1 200 OK\r\nX-Id: %d\r\nContent-Length: 6\r\n\r\npoison", x.id, x.n, body, x.id)
}

// slowly sends the body in pieces with pauses.
func (x *exchange) slowly() bool {
	if !x.length(0) {
		return false
	}
	const pieces = 10
	body, left := newBody(x.id), x.n
	for i := range int64(pieces) {
		k := left / (pieces - i)
		if _, err := io.CopyN(x.peer, body, k); err != nil {
			return false
		}
		x.sent.Add(k)
		left -= k
		x.settle()
	}
	return true
}

// untilEnd does nothing until the other side ends the connection.
func (x *exchange) untilEnd() {
	_, _ = io.Copy(io.Discard, x.r)
	x.oracle.change(x.id, func(t *trace) { t.ended = true })
}

// early answers before the upload has come, and reads no more of it than a little.
func (x *exchange) early() bool {
	x.say("HTTP/1.1 413 Content Too Large\r\nX-Id: %d\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", x.id)
	_ = x.CloseWrite()
	_, _ = io.CopyN(io.Discard, x.r, 64<<10)
	return false
}

// head answers with the fields of the request that tell what was sent on.
func (x *exchange) head() bool {
	h := x.req.Header
	text := fmt.Sprintf("te=%q upgrade=%q conn=%q xff=%q hop=%q", h.Get("Te"), h.Get("Upgrade"),
		h.Get("Connection"), h.Get("X-Forwarded-For"), h.Get("X-Hop"))
	return x.say("HTTP/1.1 200 OK\r\nX-Id: %d\r\nContent-Length: %d\r\n\r\n%s", x.id, len(text), text)
}
