package l7

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// BenchmarkCacheHit measures whole exchanges that are answered from the store.
func BenchmarkCacheHit(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			answer := fmt.Sprintf("HTTP/1.1 200 OK\r\nServer: origin\r\nCache-Control: max-age=3600\r\nETag: \"a\"\r\n"+
				"Content-Type: text/plain\r\nContent-Length: %d\r\n\r\n", size) + strings.Repeat("x", size)
			r := newRig(b, storing+"cache_status = false\n", cannedOrigin(b, answer).addr)
			first := r.dial()
			for range 2 {
				first.send(benchRequest)
				first.response("GET")
			}
			first.send(benchRequest)
			res, _, _ := first.response("GET")
			n := size + len("HTTP/1.1 200 OK\r\n\r\n")
			for name, values := range res.Header {
				n += len(name) + len(": \r\n") + len(values[0])
			}
			const each = 4
			clients := make(chan *client, each*runtime.GOMAXPROCS(0))
			for range cap(clients) {
				clients <- r.dial()
			}
			b.SetParallelism(each)
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				c := <-clients
				request, buf := []byte(benchRequest), make([]byte, n)
				for pb.Next() {
					if err := oneExchange(c.TCPConn, request, buf, n); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}
