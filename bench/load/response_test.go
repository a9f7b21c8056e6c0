package load

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"strings"
	"testing"
)

// outcome is what a response came to, in one line.
func outcome(r *response, used int, f failure) string {
	if f != failNone {
		return fmt.Sprintf("failure %d", f)
	}
	return fmt.Sprintf("%d whole=%v close=%v length=%d used=%d", r.status, r.whole(), r.close, r.length, used)
}

// feedPieces feeds b in pieces of n bytes.
func feedPieces(r *response, b []byte, n int) (used int, f failure) {
	for len(b) > 0 && !r.whole() {
		piece := b[:min(n, len(b))]
		m, f := r.feed(piece)
		used += m
		if f != failNone || m < len(piece) {
			return used, f
		}
		b = b[m:]
	}
	return used, failNone
}

func TestResponse(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		for n := 1; n <= min(len(in), 200); n++ {
			r := response{}
			r.reset()
			used, failed := feedPieces(&r, []byte(in), n)
			if failed == failNone && !r.whole() && strings.HasSuffix(want, "at end") {
				failed = r.end()
				used = len(in)
			}
			if got := outcome(&r, used, failed); got != strings.TrimSuffix(want, " at end") {
				t.Fatalf("%q in pieces of %d: %s, want %s", in, n, got, want)
			}
		}
	}
	const ok = "HTTP/1.1 200 OK\r\n"
	f(ok+"Content-Length: 5\r\n\r\nhello", "200 whole=true close=false length=5 used=43")
	f(ok+"content-length:5\r\n\r\nhelloX", "200 whole=true close=false length=5 used=42")
	f(ok+"Content-Length: 0\r\n\r\n", "200 whole=true close=false length=0 used=38")
	f("HTTP/1.1 204\r\n\r\n", "204 whole=true close=false length=0 used=16")
	f("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", "304 whole=true close=false length=0 used=48")
	f(ok+"Connection: close\r\nContent-Length: 1\r\n\r\nx", "200 whole=true close=true length=1 used=58")
	f("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", "200 whole=true close=true length=1 used=39")
	f("HTTP/1.1 100 Continue\r\n\r\n"+ok+"Content-Length: 1\r\n\r\nx", "200 whole=true close=false length=1 used=64")
	f(ok+"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n",
		"200 whole=true close=false length=13 used=79")
	f(ok+"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nTrailer: x\r\n\r\n", "200 whole=true close=false length=1 used=70")

	f(ok+"\r\nabc", "200 whole=true close=true length=3 used=22 at end")
	f(ok+"Content-Length: 5\r\n\r\nhell", fmt.Sprintf("failure %d at end", failLength))
	f(ok+"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", fmt.Sprintf("failure %d at end", failLength))
	f(ok+"Content-Le", fmt.Sprintf("failure %d at end", failClosed))

	bad := fmt.Sprintf("failure %d", failProtocol)
	f("HTTP/2 200 OK\r\n\r\n", bad)
	f("HTTP/1.1 2x0 OK\r\n\r\n", bad)
	f("SSH-2.0-OpenSSH\r\n\r\n", bad)
	f(ok+"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", bad)
	f(ok+"Content-Length: five\r\n\r\nhello", bad)
	f(ok+"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello", bad)
	f(ok+"Transfer-Encoding: gzip\r\n\r\n", bad)
	f(ok+"Transfer-Encoding: chunked\r\n\r\nx\r\n", bad)
	f(ok+"Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", bad)
	f(ok+"Transfer-Encoding: chunked\r\n\r\n1\nab\r\n", bad)
	f(ok+"Transfer-Encoding: chunked\r\n\r\n1000000000000000\r\n", bad)
	f(ok+"no colon\r\n\r\n", bad)
	f(ok+strings.Repeat("A: b\r\n", maxHead/6), bad)
}

// TestResponseDiscard: bytes that are not looked at count as those that are.
func TestResponseDiscard(t *testing.T) {
	r := response{}
	r.reset()
	if n, f := r.feed([]byte("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")); n != 42 || f != failNone {
		t.Fatalf("used %d, failure %d", n, f)
	}
	if r.discard() != 7 {
		t.Fatalf("discard() = %d, want 7", r.discard())
	}
	r.skip(7)
	if !r.whole() || r.length != 10 {
		t.Fatalf("whole %v, length %d", r.whole(), r.length)
	}
	r.sums = true
	r.reset()
	if _, f := r.feed([]byte("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab")); f != failNone || r.discard() != 0 {
		t.Fatalf("failure %d, discard() = %d: a body that is summed cannot be discarded", f, r.discard())
	}
	if r.feed([]byte("c")); r.sum != crc32.Checksum([]byte("abc"), castagnoli) {
		t.Fatalf("sum %x", r.sum)
	}
}

func TestResponseAllocs(t *testing.T) {
	if raceEnabled {
		return // the race detector allocates
	}
	whole := []byte("HTTP/1.1 200 OK\r\nServer: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
	r := response{sums: true}
	if n := testing.AllocsPerRun(100, func() {
		r.reset()
		if _, f := r.feed(whole); f != failNone || !r.whole() {
			t.Fatal("not read")
		}
	}); n != 0 {
		t.Fatalf("%v allocations for a response, want 0", n)
	}
}

// FuzzResponse: any cut of the bytes gives the same answer.
func FuzzResponse(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"), 3)
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a\r\nabc\r\n0\r\nA: b\r\n\r\nrest"), 1)
	f.Add([]byte("HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.0 404 No\r\n\r\nto the end"), 7)
	f.Fuzz(func(t *testing.T, b []byte, n int) {
		n = max(1, n%64)
		var one, many response
		one.sums, many.sums = true, true
		one.reset()
		many.reset()
		used1, f1 := one.feed(b)
		used2, f2 := feedPieces(&many, b, n)
		if f1 != failNone || f2 != failNone {
			if (f1 == failNone) != (f2 == failNone) {
				t.Fatalf("failure %d at once, %d in pieces of %d", f1, f2, n)
			}
			return
		}
		got, want := outcome(&many, used2, f2), outcome(&one, used1, f1)
		if got != want || one.sum != many.sum || !bytes.Equal(one.head, many.head) {
			t.Fatalf("%s in pieces of %d, %s at once", got, n, want)
		}
		one.reset()
		used1, f1 = one.feed(b) // the head is known now
		if got := outcome(&one, used1, f1); got != want {
			t.Fatalf("%s once more, %s at first", got, want)
		}
	})
}
