package compress

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// records is a JSON document of the kind that APIs answer with, of about n octets, the
// same for the same n.
func records(n int) []byte {
	rnd := rand.New(rand.NewPCG(1, uint64(n)))
	first := []string{"Ada", "Grace", "Edsger", "Barbara", "Donald", "Frances", "Ken", "Radia", "Niklaus", "Lynn"}
	last := []string{"Lovelace", "Hopper", "Dijkstra", "Liskov", "Knuth", "Allen", "Thompson", "Perlman", "Wirth", "Conway"}
	b := []byte(`{"total":1280,"page":1,"items":[`)
	for i := 0; len(b) < n-2; i++ {
		f, l := first[rnd.IntN(len(first))], last[rnd.IntN(len(last))]
		b = fmt.Appendf(b, `{"id":"%08x-%04x","name":"%s %s","email":"%s.%s%d@example.com","active":%t,`+
			`"score":%.3f,"created_at":"2026-%02d-%02dT%02d:%02d:%02dZ","tags":["%s","%s"],"address":{"street":"%d %s Street",`+
			`"city":"Springfield","zip":"%05d"}},`, rnd.Uint32(), rnd.Uint32N(1<<16), f, l, f, l, rnd.IntN(1000),
			rnd.IntN(2) == 0, rnd.Float64()*1000, 1+rnd.IntN(12), 1+rnd.IntN(28), rnd.IntN(24), rnd.IntN(60), rnd.IntN(60),
			last[rnd.IntN(len(last))], first[rnd.IntN(len(first))], rnd.IntN(999), l, rnd.IntN(99999))
	}
	b = b[:n-2]
	return append(b, ']', '}')
}

// discard counts what a sink gets.
type discard struct{ n int }

func (d *discard) WriteBody(p []byte) error {
	d.n += len(p)
	return nil
}

// BenchmarkEncode shows what 50 KiB of JSON cost, and what is left of them.
func BenchmarkEncode(b *testing.B) {
	in := records(50 << 10)
	e := NewEncoders(1 << 40)
	for _, c := range Codings[:3] {
		for level := 1; level <= Highest(c); level++ {
			b.Run(fmt.Sprintf("%s-%d", c, level), func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(len(in)))
				var d discard
				began := cpu()
				for b.Loop() {
					d.n = 0
					enc := e.Get(c, level, int64(len(in)), &d)
					if err := enc.Write(in); err != nil {
						b.Fatal(err)
					}
					if err := enc.Close(); err != nil {
						b.Fatal(err)
					}
					enc.Release()
				}
				b.ReportMetric(float64(d.n), "octets")
				b.ReportMetric(float64(cpu()-began)/float64(b.N), "cpu-ns/op")
			})
		}
	}
}

// cpu is the time that this process has used: another one that is busy does not count.
func cpu() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
