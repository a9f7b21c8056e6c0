package load

import "testing"

// TestKnownHead: a head that is the same as the last one is not read again, and
// what is not the same is.
func TestKnownHead(t *testing.T) {
	r := response{}
	f := func(in, want string, recalled bool) {
		t.Helper()
		r.reset()
		if got := r.recall([]byte(in)) > 0; got != recalled {
			t.Errorf("%q: recalled %v, want %v", in, got, recalled)
		}
		r.reset()
		used, failed := r.feed([]byte(in))
		if got := outcome(&r, used, failed); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
	const ok = "HTTP/1.1 200 OK\r\n"
	f(ok+"Content-Length: 5\r\n\r\nhello", "200 whole=true close=false length=5 used=43", false)
	f(ok+"Content-Length: 5\r\n\r\nworld", "200 whole=true close=false length=5 used=43", true)
	f(ok+"Content-Length: 5\r\n\r\nhel", "200 whole=false close=false length=3 used=41", true)
	f(ok+"Content-Length: 5\r\n", "0 whole=false close=false length=0 used=36", false)
	f(ok+"Content-Length: 55\r\n\r\n", "200 whole=false close=false length=0 used=39", false)
	f(ok+"Content-Length: 5\r\nA: b\r\n\r\nhello", "200 whole=true close=false length=5 used=49", false)

	f(ok+"Connection: close\r\nContent-Length: 0\r\n\r\n", "200 whole=true close=true length=0 used=57", false)
	f(ok+"Connection: close\r\nContent-Length: 0\r\n\r\n", "200 whole=true close=true length=0 used=57", true)

	f(ok+"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "200 whole=true close=false length=0 used=52", false)
	f(ok+"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", "200 whole=true close=false length=1 used=58", true)

	// An interim head says nothing of the final one, which alone is kept.
	const early = "HTTP/1.1 103 Early\r\n\r\n"
	f(early+ok+"Content-Length: 0\r\n\r\n", "200 whole=true close=false length=0 used=60", false)
	f(early+ok+"Content-Length: 0\r\n\r\n", "200 whole=true close=false length=0 used=60", false)
	f(ok+"Content-Length: 0\r\n\r\n", "200 whole=true close=false length=0 used=38", true)
}
