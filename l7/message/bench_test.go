package message

import (
	"bufio"
	"bytes"
	"testing"

	"github.com/valyala/fasthttp"
)

// BenchmarkRequest compares reading and writing a browser's request head by our own
// table with the same by fasthttp's RequestHeader (docs/decisions/0003).
func BenchmarkRequest(b *testing.B) {
	head := []byte(browser)
	b.Run("parse/weir", func(b *testing.B) {
		b.SetBytes(int64(len(head)))
		b.ReportAllocs()
		var r Request
		for b.Loop() {
			r.Reset()
			if n, err := r.Parse(head, nil); n == 0 || err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("parse/fasthttp", func(b *testing.B) {
		b.SetBytes(int64(len(head)))
		b.ReportAllocs()
		var h fasthttp.RequestHeader
		src := bytes.NewReader(nil)
		in := bufio.NewReaderSize(src, 4096)
		for b.Loop() {
			src.Reset(head)
			in.Reset(src)
			if err := h.Read(in); err != nil {
				b.Fatal(err)
			}
		}
	})
	out := make([]byte, 0, 4096)
	b.Run("write/weir", func(b *testing.B) {
		b.ReportAllocs()
		var r Request
		if _, err := r.Parse(head, nil); err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			out = AppendRequestLine(out[:0], r.Method, r.Target)
			out = append(AppendFields(out, r.Fields), "\r\n"...)
		}
	})
	b.Run("write/fasthttp", func(b *testing.B) {
		b.ReportAllocs()
		var h fasthttp.RequestHeader
		if err := h.Read(bufio.NewReader(bytes.NewReader(head))); err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			out = h.AppendBytes(out[:0])
		}
	})
}

func BenchmarkResponse(b *testing.B) {
	head, method := []byte(answer), []byte("GET")
	b.Run("parse/weir", func(b *testing.B) {
		b.ReportAllocs()
		var r Response
		for b.Loop() {
			r.Reset()
			if n, err := r.Parse(head, method, nil); n == 0 || err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("parse/fasthttp", func(b *testing.B) {
		b.ReportAllocs()
		var h fasthttp.ResponseHeader
		src := bytes.NewReader(nil)
		in := bufio.NewReaderSize(src, 4096)
		for b.Loop() {
			src.Reset(head)
			in.Reset(src)
			if err := h.Read(in); err != nil {
				b.Fatal(err)
			}
		}
	})
}
