package origin

import (
	"fmt"
	"math/rand/v2"
)

// records returns n bytes of JSON, the same for the same n: a list of things with
// names, numbers and times, as interfaces answer with. It compresses as those do.
func records(n int) []byte {
	const begin, end = `{"page":1,"items":[`, `]}`
	names := []string{"Ada", "Grace", "Edsger", "Barbara", "Donald", "Frances", "Ken", "Radia", "Niklaus", "Lynn"}
	rnd := rand.New(rand.NewPCG(1, 2))
	name := func() string { return names[rnd.IntN(len(names))] }
	b := append(make([]byte, 0, n+512), begin...)
	for len(b) < n-len(end) {
		if len(b) > len(begin) {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, `{"id":"%08x-%04x","name":"%s","email":"%s.%d@example.com","active":%t,"score":%.3f,`+
			`"created_at":"2026-%02d-%02dT%02d:%02d:%02dZ","tags":["%s","%s"],"address":{"street":"%d %s Street",`+
			`"city":"Springfield","zip":"%05d"}}`, rnd.Uint32(), rnd.Uint32N(1<<16), name(), name(), rnd.IntN(1000),
			rnd.IntN(2) == 0, rnd.Float64()*1000, 1+rnd.IntN(12), 1+rnd.IntN(28), rnd.IntN(24), rnd.IntN(60),
			rnd.IntN(60), name(), name(), rnd.IntN(999), name(), rnd.IntN(99999))
	}
	// The last of them is cut to the length; nobody reads it.
	return append(b[:max(n-len(end), 0)], end...)[:n]
}
