package h1

import (
	"io"
	"strings"
	"testing"
)

// pieces is a connection that serves in by at most step octets a read.
type pieces struct {
	record
	in   string
	step int
}

func (p *pieces) Read(b []byte) (int, error) {
	if p.in == "" {
		return 0, io.EOF
	}
	n := copy(b, p.in[:min(p.step, len(p.in))])
	p.in = p.in[n:]
	return n, nil
}

// FuzzConn checks that what a client gets does not depend on how its octets arrive.
func FuzzConn(f *testing.F) {
	for _, s := range []string{
		get + get, "\r\n" + get + "\r\n" + get, post + "Content-Length: 5\r\n\r\nhello" + get,
		post + "Transfer-Encoding: chunked\r\n\r\n2;x\r\nhe\r\n3\r\nllo\r\n0\r\nA: b\r\n\r\n" + get,
		post + "Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello" + get, "GET / HTTP/1.0\r\n\r\n" + get,
		post + "Content-Length: 2000\r\n\r\n" + strings.Repeat("x", 2000) + get, get + "GET / HTTP/1.1\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("x", 5000) + "\r\n\r\n" + get,
	} {
		f.Add(s, uint16(1))
		f.Add(s, uint16(1023))
	}
	f.Fuzz(func(t *testing.T, in string, step uint16) {
		play := func(step int) string {
			p := &pieces{in: in, step: step}
			c := NewConn(p, nil)
			_ = serveAll(c, echo)
			c.Close()
			// Whether a client that sends at once is told to continue does depend on it.
			return strings.ReplaceAll(p.out.String(), "HTTP/1.1 100 Continue\r\n\r\n", "")
		}
		if got, want := play(int(step)+1), play(len(in)+1); got != want {
			t.Errorf("in steps of %d\ngot  %q\nwant %q", step+1, got, want)
		}
	})
}
