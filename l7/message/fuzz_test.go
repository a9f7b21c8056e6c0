package message

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/http/httputil"
	"slices"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

// FuzzRequest checks three things: the outcome does not depend on how the octets
// arrive; net/http and fasthttp, where they accept a request that we accept, read
// the same from it; and the head that is written from the table means the same.
func FuzzRequest(f *testing.F) {
	for _, s := range []string{
		browser, get + "\r\n", post + "Content-Length: 5\r\n\r\nhello", post +
			"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"GET http://a.b:80/%7e/%2a?q HTTP/1.1\r\nHost: a.b:80\r\nConnection: x, close\r\nX: 1\r\n\r\n",
		"\r\nOPTIONS * HTTP/1.0\r\nHost: [::1]:1\r\nConnection: keep-alive\r\n\r\n",
		get + "Connection: Upgrade\r\nUpgrade: websocket\r\nX-A:\tb \r\nx-a: c\r\n\r\n",
		get + "Expect: 100-continue\r\nX: y\r\n z\r\n\r\n", "GET / HTTP/1.1\nHost: a\n\n",
		post + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
		"CONNECT a.b:443 HTTP/1.1\r\nHost: a.b:443\r\n\r\n",
	} {
		f.Add([]byte(s), uint8(3))
	}
	f.Fuzz(func(t *testing.T, in []byte, step uint8) {
		connects := &Limits{AllowConnect: true}
		want := outcome(string(in), 0, connects)
		if got := outcome(string(in), int(step)+1, connects); got != want {
			t.Errorf("with CONNECT, in steps of %d\ngot  %s\nwant %s", step+1, got, want)
		}
		want = outcome(string(in), 0, nil)
		if got := outcome(string(in), int(step)+1, nil); got != want {
			t.Errorf("in steps of %d\ngot  %s\nwant %s", step+1, got, want)
		}
		var r Request
		n, err := r.Parse(in, nil)
		if err != nil || n == 0 {
			return
		}
		compareNetHTTP(t, &r, in[:n])
		compareFasthttp(t, &r, in[:n])
		compareForwarded(t, &r)
	})
}

func compareNetHTTP(t *testing.T, r *Request, head []byte) {
	theirs, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(head)))
	if err != nil {
		return
	}
	host := string(r.Authority)
	if theirs.Method != string(r.Method) || theirs.RequestURI != string(r.Target) || theirs.ProtoMinor != r.Minor ||
		!strings.EqualFold(theirs.Host, host) {
		t.Errorf("net/http reads %s %s %s host %q", theirs.Method, theirs.RequestURI, theirs.Proto, theirs.Host)
	}
	if theirs.ContentLength != r.ContentLength || (len(theirs.TransferEncoding) > 0) != (r.Framing == Chunked) {
		t.Errorf("net/http frames it %d %v, not %d %s", theirs.ContentLength, theirs.TransferEncoding,
			r.ContentLength, r.Framing)
	}
	values := make(map[string][]string)
	for _, f := range r.Fields {
		name := http.CanonicalHeaderKey(string(f.Name))
		values[name] = append(values[name], string(f.Value))
	}
	for name, want := range values {
		switch name {
		case "Host", "Transfer-Encoding", "Trailer", "Cache-Control": // net/http takes these out, or adds to them
			continue
		}
		if got := theirs.Header.Values(name); !slices.Equal(got, want) {
			t.Errorf("net/http reads %s %q, not %q", name, got, want)
		}
	}
}

func compareFasthttp(t *testing.T, r *Request, head []byte) {
	var theirs fasthttp.RequestHeader
	theirs.DisableNormalizing()
	if err := theirs.Read(bufio.NewReaderSize(bytes.NewReader(head), 64<<10)); err != nil {
		return
	}
	if string(theirs.Method()) != string(r.Method) || string(theirs.RequestURI()) != string(r.Target) {
		t.Errorf("fasthttp reads %s %s", theirs.Method(), theirs.RequestURI())
	}
	if host := theirs.Host(); len(host) > 0 && string(host) != string(r.Authority) {
		t.Errorf("fasthttp reads the host %q", host)
	}
	length := theirs.ContentLength()
	switch {
	case r.Framing == Chunked && length != -1, r.Framing == Length && int64(length) != r.ContentLength,
		r.Framing == None && length > 0:
		t.Errorf("fasthttp frames it %d, not %d %s", length, r.ContentLength, r.Framing)
	}
}

// compareForwarded writes the head as it is sent on and reads it back.
func compareForwarded(t *testing.T, r *Request) {
	target := string(r.Path)
	if r.HasQuery {
		target += "?" + string(r.Query)
	}
	out := AppendRequestLine(nil, r.Method, []byte(target))
	if !r.Has(Host) {
		out = AppendField(out, []byte("Host"), append([]byte("x"), r.Authority...)[min(1, len(r.Authority)):])
	}
	if r.Framing == Chunked {
		out = AppendField(out, []byte("Transfer-Encoding"), []byte("chunked"))
	}
	out = append(AppendFields(out, r.Fields), "\r\n"...)
	var again Request
	n, err := again.Parse(out, &Limits{MaxHead: 1 << 20, MaxFields: 1000})
	if err != nil || n != len(out) {
		if string(r.Path) == "*" && string(r.Method) != "OPTIONS" {
			return
		}
		t.Fatalf("%q is not accepted: %d, %v", out, n, err)
	}
	if string(again.Path) != string(r.Path) || string(again.Match) != string(r.Match) ||
		string(again.Query) != string(r.Query) ||
		again.HasQuery != r.HasQuery || again.Framing != r.Framing || again.ContentLength != r.ContentLength {
		t.Errorf("%q changed the meaning\ngot  %s\nwant %s", out, dump(&again), dump(r))
	}
	if len(r.Authority) > 0 && string(again.Host) != string(r.Host) {
		t.Errorf("%q changed the host to %q", out, again.Host)
	}
	for _, f := range again.Fields {
		if f.Hop && f.Known != TransferEncoding {
			t.Errorf("%q still has %s", out, f.Name)
		}
	}
}

// FuzzResponse is FuzzRequest for responses.
func FuzzResponse(f *testing.F) {
	for _, s := range []string{
		answer, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.0 200\r\n\r\n",
		"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
		"HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
		"HTTP/1.1 304 x\r\nContent-Length: 7\r\nConnection: close, a\r\nA: b\r\n\r\n",
	} {
		f.Add([]byte(s), uint8(3), false)
		f.Add([]byte(s), uint8(0), true)
	}
	f.Fuzz(func(t *testing.T, in []byte, step uint8, head bool) {
		method := "GET"
		if head {
			method = "HEAD"
		}
		want := responseOutcome(method, string(in), len(in)+1, nil)
		if got := responseOutcome(method, string(in), int(step)+1, nil); got != want {
			t.Errorf("in steps of %d\ngot  %s\nwant %s", step+1, got, want)
		}
		var r Response
		n, err := r.Parse(in, []byte(method), nil)
		if err != nil || n == 0 {
			return
		}
		theirs, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(in[:n])), &http.Request{Method: method})
		if err != nil {
			return
		}
		theirs.Body.Close()
		if theirs.StatusCode != r.Status || theirs.ProtoMinor != r.Minor {
			t.Errorf("net/http reads %s %d", theirs.Proto, theirs.StatusCode)
		}
		length := int64(-1)
		switch r.Framing {
		case None:
			return // net/http tells the length of what has no body in several ways
		case Length:
			length = r.ContentLength
		case Chunked, Close:
		}
		if theirs.ContentLength != length || (len(theirs.TransferEncoding) > 0) != (r.Framing == Chunked) {
			t.Errorf("net/http frames it %d %v, not %d %s", theirs.ContentLength, theirs.TransferEncoding,
				r.ContentLength, r.Framing)
		}
	})
}

// FuzzBody checks chunked bodies: any split gives the same, and net/http reads the
// same data where it accepts them.
func FuzzBody(f *testing.F) {
	for _, s := range []string{
		"0\r\n\r\n", "5\r\nhello\r\n0\r\n\r\nGET", "5;a=b\r\nhello\r\n00\r\nA: b\r\n\r\n", "1\r\nx\n0\r\n\r\n",
		"ffffffffffffffff\r\n", "1 ;\r\nx\r\n0\r\n\r\n",
	} {
		f.Add([]byte(s), uint8(2))
	}
	f.Fuzz(func(t *testing.T, in []byte, step uint8) {
		want := bodyOutcome(Chunked, -1, string(in), len(in)+1)
		if got := bodyOutcome(Chunked, -1, string(in), int(step)+1); got != want {
			t.Errorf("in steps of %d\ngot  %s\nwant %s", step+1, got, want)
		}
		var b Body
		b.Reset(Chunked, -1, Client, nil)
		data, _, end := decode(&b, in, len(in)+1)
		theirs, err := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(in)))
		if end == "done" && err == nil && !bytes.Equal(data, theirs) {
			t.Errorf("net/http reads %q, not %q", theirs, data)
		}
	})
}
