package l7

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// What a lane does with octets must be what a goroutine does with them. Each conversation is
// made of a seed: a client that sends requests, good and bad, in pieces, and a server that
// answers each as its path says, in pieces too. Both servers of Weir get the same.

// surplus stands in everything that a server sends beyond a response: no client may see it.
const surplus = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL"

// oddAnswer is what a server does with a request.
type oddAnswer struct {
	text  string
	whole bool // goes out in one write, so that it arrives before the next request
	end   bool // the connection ends behind it
}

var oddAnswers = []oddAnswer{
	{text: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"},
	{text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;a=b\r\no\r\n1\r\nk\r\n0\r\n\r\n"},
	{text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n2\r\nok\r\n0\r\nX-T: t\r\n\r\n"},
	{text: "HTTP/1.1 200 OK\r\n\r\nto the end", end: true},
	{text: "HTTP/1.1 204 No Content\r\n\r\n"},
	{text: "HTTP/1.1 204 No Content\r\n\r\n" + surplus, whole: true},
	{text: "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: \"a\"\r\n\r\n"},
	{text: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" + surplus, whole: true},
	{text: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" + surplus, whole: true},
	{text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" + surplus, whole: true},
	{text: "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"},
	{text: "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"},
	{text: strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 40) + "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
	{text: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nokEVIL", whole: true},
	{text: "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nEVIL", whole: true},
	{text: "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\ncut", end: true},
	{text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\ncut", end: true},
	{text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n", end: true},
	{text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\nzz\r\nEVIL", end: true},
	{text: "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("0123456789", 10000)},
	{text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n11170\r\n" + strings.Repeat("abcdefghij", 7000) +
		"\r\n0\r\n\r\n"},
	{text: "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", end: true},
	{text: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok", end: true},
	{text: "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nEVIL", end: true},
	{text: "HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 4\r\n\r\nEVIL", end: true},
	{text: "HTTP/1.1 200 OK\nContent-Length: 4\n\nEVIL", end: true},
	{text: "EVIL", end: true},
	{text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n4\r\nEVIL\r\n0\r\n\r\n", end: true},
	{text: "HTTP/1.1 500 Oh\r\nContent-Length: 2\r\nKeep-Alive: timeout=1\r\nConnection: x-a\r\nX-A: b\r\n\r\nno"},
	{text: "HTTP/1.1 200 OK\r\nLocation: http://127.0.0.1/\r\nContent-Length: 2\r\nDate: now\r\n\r\nok"},
}

// oddRequests follow "METHOD /N"; %s is the rest of the target, which names the answer.
var oddRequests = []string{
	"GET %s HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET %s HTTP/1.1\r\nHost: a\r\nX-A: b\r\nConnection: x-a\r\n\r\n",
	"HEAD %s HTTP/1.1\r\nHost: a\r\n\r\n",
	"DELETE %s HTTP/1.1\r\nHost: a\r\n\r\n",
	"POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody",
	"POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
	"GET %s HTTP/1.1\r\nHost: a\r\nContent-Length: 27\r\n\r\nGET /0 HTTP/1.1\r\nHost: b\r\n\r\n",
	"POST %s HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nbod\r\n1\r\ny\r\n0\r\nX-T: t\r\n\r\n",
	"GET %s HTTP/1.0\r\n\r\n",
	"GET %s HTTP/1.0\r\nConnection: keep-alive\r\nHost: a\r\n\r\n",
	"GET http://a%s HTTP/1.1\r\nHost: a\r\n\r\n",
	"\r\nGET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",

	"GET %s HTTP/1.1\nHost: a\n\n",
	"GET %s HTTP/1.1\r\n\r\n",
	"GET %s HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
	"GET %s HTTP/9.9\r\nHost: a\r\n\r\n",
	"GET %s HTTP/1.1\r\nHost : a\r\n\r\n",
	"GET %s HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n",
	"GET /..%s HTTP/1.1\r\nHost: a\r\n\r\n",
	"TRACE %s HTTP/1.1\r\nHost: a\r\n\r\n",
	"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nX: %s\r\n\r\n",
	"POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET",
	"POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: +4\r\n\r\nbody",
	"POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: 4, 4\r\n\r\nbody",
	"POST %s HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n",
	"GET %s HTTP/1.1\r\nHost: a\r\nX-Long: " + strings.Repeat("x", 33<<10) + "\r\n\r\n",
	"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nX: %s",
	"GET %s HTT",
}

// goodRequests is how many of oddRequests, from the first on, have an answer of the server.
const goodRequests = 12

// conversation is what a client sends, in pieces.
type conversation struct {
	id      int
	pieces  []string
	methods []string
}

func newConversation(id int) *conversation {
	rnd := rand.New(rand.NewPCG(uint64(id), 11))
	d := &conversation{id: id}
	var all strings.Builder
	for i, n := 0, 1+rnd.IntN(4); i < n; i++ {
		form := rnd.IntN(goodRequests)
		if i == n-1 && rnd.IntN(3) == 0 {
			form = rnd.IntN(len(oddRequests))
		}
		text := fmt.Sprintf(oddRequests[form], fmt.Sprintf("/%d/%d/%d", rnd.IntN(len(oddAnswers)), id, i))
		method, _, _ := strings.Cut(strings.TrimLeft(text, "\r\n"), " ")
		d.methods = append(d.methods, method)
		all.WriteString(text)
	}
	d.pieces = intoPieces(all.String(), rnd)
	return d
}

// intoPieces cuts a text at a few places, or at every octet of its last part.
func intoPieces(text string, rnd *rand.Rand) (pieces []string) {
	if rnd.IntN(8) == 0 {
		tail := max(0, len(text)-60)
		return append([]string{text[:tail]}, strings.Split(text[tail:], "")...)
	}
	for n := rnd.IntN(4); n > 0 && len(text) > 1; n-- {
		at := 1 + rnd.IntN(len(text)-1)
		pieces, text = append(pieces, text[:at]), text[at:]
	}
	return append(pieces, text)
}

// oddServer answers as the path says, and notes whole requests by the conversation.
type oddServer struct {
	mu   sync.Mutex
	seen map[int][]string
}

func (o *oddServer) serve(c *net.TCPConn, br *bufio.Reader) {
	for {
		req, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		part := strings.Split(req.URL.Path, "/")
		if req.Host == secureName { // see settle
			io.WriteString(c, oddAnswers[0].text)
			continue
		}
		if len(part) < 4 {
			o.note(-1, req, body) // made of what was a body, or worse
			return
		}
		kind, _ := strconv.Atoi(part[1])
		id, _ := strconv.Atoi(part[2])
		o.note(id, req, body)
		a := &oddAnswers[kind]
		pieces := []string{a.text}
		if !a.whole && req.Method != "HEAD" {
			pieces = intoPieces(a.text, rand.New(rand.NewPCG(uint64(id), uint64(kind))))
		}
		for _, p := range pieces {
			if _, err := io.WriteString(c, p); err != nil {
				return
			}
			if len(pieces) > 1 {
				time.Sleep(200 * time.Microsecond)
			}
		}
		if a.end {
			return
		}
	}
}

func (o *oddServer) note(id int, req *http.Request, body []byte) {
	req.Header.Del("X-Request-Id")
	if strings.HasPrefix(req.Host, "127.0.0.1:") {
		req.Host = "the server's" // of HTTP/1.0
	}
	text := fmt.Sprintf("%s %s %s %v %v %q %v", req.Method, req.RequestURI, req.Host, req.TransferEncoding, req.Header,
		body, req.Trailer)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.seen[id] = append(o.seen[id], text)
}

// of returns what was seen of a conversation, each request once: what was sent again on
// another connection depends on which connections there were.
func (o *oddServer) of(id int) []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Compact(o.seen[id])
}

// hold leads the conversation and returns what the client got. Over TLS it does so on a
// connection that had time to get on the lane.
func (d *conversation) hold(t *testing.T, addr string, overTLS bool) string {
	tcp, err := net.Dial("tcp", addr)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer tcp.Close()
	tcp.SetDeadline(time.Now().Add(clientPatience))
	nc := tcp
	if overTLS {
		nc = tls.Client(tcp, &tls.Config{InsecureSkipVerify: true})
		if err := settle(nc); err != nil {
			t.Error(err)
			return ""
		}
	}
	go func() {
		for _, p := range d.pieces {
			if _, err := io.WriteString(nc, p); err != nil {
				return
			}
			if len(d.pieces) > 1 {
				time.Sleep(300 * time.Microsecond)
			}
		}
		if c, ok := nc.(*tls.Conn); ok {
			c.CloseWrite()
		}
		tcp.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(nc)
	// Whether a response that is cut ends by a FIN or an RST depends on what was unread.
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		t.Errorf("conversation %d: no end", d.id)
	}
	return d.normal(got)
}

var variable = regexp.MustCompile(`(?m)^(Date: |X-Request-Id: |Request id: ).*$`)

// normal is what the client got, without what is different each time: times, ids and the
// sizes of chunks.
func (d *conversation) normal(got []byte) string {
	var b strings.Builder
	for _, method := range append(slices.Clone(d.methods), "GET") {
		for {
			head, rest, found := bytes.Cut(got, []byte("\r\n\r\n"))
			if !found {
				break
			}
			got = rest
			b.Write(variable.ReplaceAll(head, []byte("$1?")))
			b.WriteString("\n\n")
			if !bytes.HasPrefix(head, []byte("HTTP/1.1 1")) {
				break
			}
		}
		head := b.String()
		head = head[strings.LastIndex(head, "HTTP/1.1 ")+1:]
		var n int
		switch {
		case method == "HEAD", strings.Contains(head, " 204 "), strings.Contains(head, " 304 "):
		case strings.Contains(head, "Transfer-Encoding: chunked"):
			got = unchunk(&b, got)
		case strings.Contains(head, "Content-Length: "):
			_, after, _ := strings.Cut(head, "Content-Length: ")
			fmt.Sscan(after, &n)
			n = min(n, len(got))
			b.Write(variable.ReplaceAll(got[:n], []byte("$1?")))
			got = got[n:]
		}
		b.WriteString("\n----\n")
	}
	b.Write(got)
	return b.String()
}

// unchunk writes the content and the trailers of a chunked body, and returns what follows.
func unchunk(b *strings.Builder, p []byte) []byte {
	for {
		line, rest, found := bytes.Cut(p, []byte("\r\n"))
		size, err := strconv.ParseUint(string(line), 16, 32)
		switch {
		case !found || err != nil:
			return p
		case size == 0:
			trailers, after, _ := bytes.Cut(append([]byte("\r\n"), rest...), []byte("\r\n\r\n"))
			fmt.Fprintf(b, "[last%s]", trailers)
			return after
		}
		n := min(int(size), len(rest))
		b.Write(rest[:n])
		if p = rest[n:]; len(p) < 2 {
			return nil
		}
		p = p[2:]
	}
}

// TestLaneDifferential: for clients and for servers there is no difference between lanes
// and goroutines, whatever either side sends, in whatever pieces.
func TestLaneDifferential(t *testing.T) {
	t.Run("plain", func(t *testing.T) { testLaneDifferential(t, 1000, false) })
	t.Run("tls", func(t *testing.T) { testLaneDifferential(t, 300, true) })
}

func testLaneDifferential(t *testing.T, conversations int, overTLS bool) {
	var rigs [2]*rig
	var servers [2]*oddServer
	for i := range rigs {
		servers[i] = &oddServer{seen: make(map[int][]string)}
		o := newOrigin(t, servers[i].serve)
		if overTLS {
			rigs[i], _ = newSecureRig(t, i == 0, o)
			continue
		}
		rigs[i] = newRigWith(t, i == 0, strings.Replace(plain, "[[l7]]", "[pool.app.ejection]\nenabled = false\n[[l7]]", 1), o.addr)
	}
	var wg sync.WaitGroup
	next := make(chan int)
	for range 8 {
		wg.Go(func() {
			for id := range next {
				d := newConversation(id)
				var got [2]string
				for i := range rigs {
					got[i] = d.hold(t, rigs[i].addr, overTLS)
					if strings.Contains(got[i], "EVIL") {
						t.Errorf("conversation %d: the client got what is no part of a response: %q", id, got[i])
					}
				}
				if got[0] != got[1] {
					t.Errorf("conversation %d: %q\non the lane   %q\nby goroutines %q", id, d.pieces, got[0], got[1])
				}
				if a, b := servers[0].of(id), servers[1].of(id); !slices.Equal(a, b) {
					t.Errorf("conversation %d: %q\nby the lane   %q\nby goroutines %q", id, d.pieces, a, b)
				}
			}
		})
	}
	for id := range conversations {
		next <- id
	}
	close(next)
	wg.Wait()
	for i, r := range rigs {
		if strange := servers[i].of(-1); len(strange) > 0 {
			t.Errorf("the server got requests that nobody sent: %q", strange)
		}
		eventually(t, "the end of all connections", func() bool {
			r.server.mu.Lock()
			defer r.server.mu.Unlock()
			return r.server.conns == 0
		})
		if n := r.server.panics.Load(); n > 0 {
			t.Errorf("%d panics:\n%s", n, r.log)
		}
	}
	if served, _ := rigs[0].lanes(); served == 0 {
		t.Error("no request was served on the lane")
	}
}
