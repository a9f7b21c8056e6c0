package backend

import (
	"errors"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// FuzzParseReply feeds any bytes to the parser of answers. Whatever they are, what
// comes out keeps the bounds and is the same each time.
func FuzzParseReply(f *testing.F) {
	q := dnsmessage.Question{
		Name: dnsmessage.MustNewName("app.test."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET,
	}
	add := func(a fakeAnswer) { f.Add(buildReply(7, q, a)) }
	add(records("app.test. 60 A 127.0.0.1", "app.test. 5 A 10.0.0.1"))
	add(records("app.test. 60 CNAME b.test.", "b.test. 30 A 127.0.0.1"))
	add(records("app.test. 60 CNAME b.test.", "b.test. 60 CNAME app.test."))
	add(fakeAnswer{rcode: dnsmessage.RCodeNameError})
	add(fakeAnswer{rcode: dnsmessage.RCodeFormatError})
	add(fakeAnswer{truncated: true})
	f.Add([]byte{})
	f.Add([]byte{0, 7, 0x80, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0xc0, 12, 0, 1, 0, 1})

	f.Fuzz(func(t *testing.T, msg []byte) {
		rep, err := parseReply(msg, 7, q)
		if err != nil {
			if len(rep.addrs) > 0 || rep.truncated {
				t.Fatalf("an error (%v) with an answer: %+v", err, rep)
			}
			return
		}
		if len(rep.addrs) > maxAddrs || rep.ttl > 1<<31-1 {
			t.Fatalf("out of bounds: %d addresses, TTL %d", len(rep.addrs), rep.ttl)
		}
		for _, a := range rep.addrs {
			if !a.Is4() || !usableAddr(a) {
				t.Fatalf("address %s for a question of type A", a)
			}
		}
		if len(msg) > 2 {
			other := append([]byte(nil), msg...)
			other[1] ^= 1
			if _, err := parseReply(other, 7, q); !errors.Is(err, errNotOurs) {
				t.Fatalf("taken with another id: %v", err)
			}
		}
	})
}
