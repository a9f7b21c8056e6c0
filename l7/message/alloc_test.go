package message

import "testing"

// browser is a request as a browser sends it, about 600 octets and 14 fields.
const browser = "GET /assets/app.js?v=20260412 HTTP/1.1\r\n" +
	"Host: www.example.com\r\n" +
	"Connection: keep-alive\r\n" +
	"sec-ch-ua-platform: \"Linux\"\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) " +
	"Chrome/140.0.0.0 Safari/537.36\r\n" +
	"sec-ch-ua: \"Chromium\";v=\"140\", \"Not=A?Brand\";v=\"24\"\r\n" +
	"sec-ch-ua-mobile: ?0\r\n" +
	"Accept: */*\r\n" +
	"Sec-Fetch-Site: same-origin\r\n" +
	"Sec-Fetch-Mode: no-cors\r\n" +
	"Sec-Fetch-Dest: script\r\n" +
	"Referer: https://www.example.com/index.html\r\n" +
	"Accept-Encoding: gzip, deflate, br, zstd\r\n" +
	"Accept-Language: en-GB,en;q=0.9\r\n" +
	"Cookie: session=0123456789abcdef0123456789abcdef\r\n\r\n"

const answer = "HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Mon, 13 Apr 2026 10:00:00 GMT\r\n" +
	"Content-Type: text/html; charset=utf-8\r\nContent-Length: 1234\r\nConnection: keep-alive\r\n" +
	"Cache-Control: no-cache\r\nETag: \"abc\"\r\n\r\n"

func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("allocations differ under the race detector")
	}
	f := func(name string, run func()) {
		t.Helper()
		if n := testing.AllocsPerRun(100, run); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
	var r Request
	for _, in := range []string{
		browser,
		"GET http://Www.Example.com.:80/%41%2a HTTP/1.1\r\nHost: www.example.com.:80\r\n" +
			"Connection: a,b,close\r\nA: 1\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: [2001:DB8::0:1]:80\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
	} {
		head := []byte(in)
		f("Request", func() {
			r.Reset()
			for _, end := range []int{10, 100, len(head)} {
				if n, err := r.Parse(head[:min(end, len(head))], nil); err != nil || end == len(head) && n != end {
					t.Error(n, err)
				}
				if end > len(head) {
					break
				}
			}
		})
	}
	var resp Response
	head, method := []byte(answer), []byte("GET")
	f("Response", func() {
		resp.Reset()
		if n, err := resp.Parse(head, method, nil); n != len(head) || err != nil {
			t.Error(n, err)
		}
	})
	var b Body
	chunks := []byte("5\r\nhello\r\n5;x\r\nhello\r\n0\r\nA: b\r\n\r\n")
	f("Body", func() {
		b.Reset(Chunked, -1, Client, nil)
		for in := chunks; !b.Done(); {
			_, n, err := b.Next(in)
			if err != nil {
				t.Fatal(err)
			}
			in = in[n:]
		}
	})
	out := make([]byte, 0, 4096)
	f("append", func() {
		out = AppendRequestLine(out[:0], r.Method, r.Path)
		out = AppendFields(out, r.Fields)
		out = AppendChunkHeader(out, 4096)
		out = AppendLastChunk(out, b.Trailers())
	})
}
