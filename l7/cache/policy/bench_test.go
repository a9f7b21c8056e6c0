package policy

import "testing"

// BenchmarkHit is what a hit costs here: a browser's request, a key, a variant and the
// decision.
func BenchmarkHit(b *testing.B) {
	cfg, k := &Config{}, NewKeyPolicy(KeyParts{Space: "web"})
	req := request(b, "GET /assets/app.js?v=20260412 HTTP/1.1\nHost: www.example.com\n"+
		"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\n"+
		"Accept: */*\nSec-Fetch-Site: same-origin\nReferer: https://www.example.com/index.html\n"+
		"Accept-Encoding: gzip, deflate, br, zstd\nAccept-Language: en-GB,en;q=0.9\nCookie: session=0123456789abcdef")
	s := store(b, cfg, "Cache-Control: max-age=60\nVary: Accept-Encoding")
	out := make([]byte, 0, 512)
	names := []byte("accept-encoding")
	at := after(1)
	b.ReportAllocs()
	for b.Loop() {
		if Passes(req) != OK {
			b.Fatal("passes")
		}
		w := ReadWish(cfg, req)
		out = AppendKey(out[:0], k, "https", req)
		out = AppendVariant(out, names, req.Fields)
		d := Reuse(cfg, &s.meta, &w, at)
		if d.Use != Fresh {
			b.Fatal(d)
		}
		out = AppendAge(out, d.Age)
	}
}
