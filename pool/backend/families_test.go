package backend

import (
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

func TestPickOther(t *testing.T) {
	dns := newFakeDNS(t, func(q dnsmessage.Question, _ bool) fakeAnswer {
		switch q.Name.String() + " " + strings.TrimPrefix(q.Type.String(), "Type") {
		case "dual.test. A":
			return records("dual.test. 60 A 127.0.0.1", "dual.test. 60 A 127.0.0.2")
		case "dual.test. AAAA":
			return records("dual.test. 60 AAAA ::1")
		case "one.test. A":
			return records("one.test. 60 A 127.0.0.3", "one.test. 60 A 127.0.0.4")
		}
		return fakeAnswer{}
	})
	r := newTestRegistry(t, Options{})
	p := testPool("p", "", nil)
	p.Servers = append(p.Servers, named("dual.test", 80), named("one.test", 80), server("[::1]:81"))
	p.Servers[0].MaxConns = 2
	p.Ejection.Enabled, p.Ejection.MaxPercent = true, 100
	g := prepareWith(t, r, dns.conf(), p).Group("p")
	member := func(name string) *Member {
		t.Helper()
		m := g.Member(name)
		if m == nil {
			t.Fatalf("no member %s", name)
		}
		return m
	}
	// f asks once after the other, and takes each answer.
	f := func(from, want string) {
		t.Helper()
		var q Query
		q.note(member(from))
		var got []string
		for {
			m := g.PickOther(member(from), &q)
			if m == nil {
				break
			}
			defer m.Done()
			got = append(got, m.Name())
		}
		if got := strings.Join(got, " "); got != want {
			t.Errorf("other ways than %s: %q, want %q", from, got, want)
		}
		if dual := member(from).Dual(); dual != (want != "") {
			t.Errorf("%s: Dual is %t", from, dual)
		}
	}
	f("[::1]:80", "127.0.0.1:80 127.0.0.2:80")
	f("127.0.0.1:80", "[::1]:80")
	f("127.0.0.3:80", "") // one family
	f("[::1]:81", "")     // no name

	// The one with the fewest slots taken comes first, and a full one never.
	member("127.0.0.1:80").reserve()
	f("[::1]:80", "127.0.0.2:80 127.0.0.1:80")
	member("127.0.0.2:80").reserve()
	member("127.0.0.2:80").reserve()
	f("[::1]:80", "127.0.0.1:80")
	member("127.0.0.1:80").Done()
	member("127.0.0.2:80").Done()
	member("127.0.0.2:80").Done()

	// Three lost races in a row take a member out, and then there is one family.
	v6 := member("[::1]:80")
	for _, o := range []Outcome{Outraced, Outraced, Connected, Outraced, Outraced} {
		v6.Report(o)
	}
	if !v6.InRotation() {
		t.Fatal("ejected though it had connected in between")
	}
	v6.Report(Outraced)
	if v6.InRotation() {
		t.Fatal("not ejected after three lost races in a row")
	}
	f("127.0.0.1:80", "")
}

func TestQueryUndo(t *testing.T) {
	var q Query
	a, b := &Member{id: 1}, &Member{id: 2}
	q.note(a)
	q.note(b)
	q.Undo(a) // not the last one
	if !q.has(a) || !q.has(b) {
		t.Error("forgot more than the last one")
	}
	q.Undo(b)
	if !q.has(a) || q.has(b) || q.Tries() != 1 {
		t.Error("did not forget the last one")
	}
}
