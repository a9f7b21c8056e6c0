package backend

import (
	"errors"
	"strings"
	"testing"

	"weir/conf"
)

// stickyPool is a pool of three servers that keeps clients by a cookie.
func stickyPool(key string) conf.Pool {
	p := testPool("p", balanceRoundRobin, servers(1, 1, 1))
	p.Sticky.Cookie = "server"
	if key != "" {
		p.Sticky.Key = conf.NewSecret(key)
	}
	return p
}

// A value leads to its member for as long as that takes work, and no other value does.
func TestPinned(t *testing.T) {
	g := group(t, stickyPool("0123456789abcdef"))
	seen := map[string]bool{}
	for _, m := range g.Members() {
		value := m.Pin()
		if seen[value] || len(value) != 22 || strings.Contains(value, "10.0") {
			t.Errorf("%s has the value %q", m.Name(), value)
		}
		seen[value] = true
		if g.Pinned([]byte(value)) != m {
			t.Errorf("the value of %s does not lead to it", m.Name())
		}
		for i := range 5 {
			q := Query{Hash: uint64(i)}
			q.Prefer(m)
			if got := pick(t, g, &q); got != m {
				t.Errorf("got %s, want %s", got.Name(), m.Name())
			}
			if got := pick(t, g, &q); got == m {
				t.Error("one query got a member twice")
			}
		}
		for _, wrong := range []string{"", m.Name(), value[1:], value + "A", strings.ToUpper(value), "\x00"} {
			if o := g.Pinned([]byte(wrong)); o != nil {
				t.Errorf("%q leads to %s", wrong, o.Name())
			}
		}
		m.SetDrain(true)
		if g.Pinned([]byte(value)) != nil {
			t.Error("a drained member is found")
		}
		q := Query{}
		q.Prefer(m)
		if pick(t, g, &q) == m {
			t.Error("a drained member was given out")
		}
		m.SetDrain(false)
		if g.Pinned([]byte(value)) != m {
			t.Error("a member that is back is not found")
		}
	}
}

// The same key gives the same values in every Weir; another key or pool gives others.
func TestPinsDependOnKeyAndPool(t *testing.T) {
	first := group(t, stickyPool("0123456789abcdef")).Members()[0].Pin()
	if again := group(t, stickyPool("0123456789abcdef")).Members()[0].Pin(); again != first {
		t.Errorf("the same key gives %q and %q", first, again)
	}
	if other := group(t, stickyPool("0123456789abcdeg")).Members()[0].Pin(); other == first {
		t.Error("another key gives the same value")
	}
	p := stickyPool("0123456789abcdef")
	p.Name = "q"
	if other := group(t, p).Members()[0].Pin(); other == first {
		t.Error("another pool gives the same value")
	}
	if other := group(t, testPool("r", "", servers(1))).Members()[0].Pin(); other != "" {
		t.Errorf("a pool without a cookie has the value %q", other)
	}
}

// A reload keeps values while the key stays, and an end of stickiness ends them.
func TestPinsOverReload(t *testing.T) {
	r := newTestRegistry(t, Options{StickyKey: func() ([]byte, error) { return []byte("key"), nil }})
	g := commit(t, r, stickyPool("")).Group("p")
	before := g.Members()[0].Pin()
	commit(t, r, stickyPool(""))
	if after := g.Members()[0].Pin(); after != before {
		t.Error("a reload changed the values")
	}
	commit(t, r, stickyPool("0123456789abcdef"))
	if after := g.Members()[0].Pin(); after == before || g.Pinned([]byte(before)) != nil {
		t.Error("a value is good for another key")
	}
	commit(t, r, testPool("p", "", servers(1, 1, 1)))
	if m := g.Members()[0]; m.Pin() != "" || g.Pinned([]byte(before)) != nil {
		t.Error("values are left without a cookie")
	}
}

// A key that cannot be had is a reason not to take a configuration.
func TestPinsWithoutKey(t *testing.T) {
	r := newTestRegistry(t, Options{StickyKey: func() ([]byte, error) { return nil, errors.New("no disk") }})
	_, err := r.Prepare(t.Context(), []conf.Pool{stickyPool("")}, conf.DNS{})
	if err == nil || err.Error() != `cannot use pool "p": no disk` {
		t.Errorf("got %v", err)
	}
	commit(t, r, stickyPool("0123456789abcdef"))
}

// A full member is passed over, and the query says so.
func TestPinnedButFull(t *testing.T) {
	p := stickyPool("")
	p.Servers[0].MaxConns = 1
	g := group(t, p)
	m := g.Members()[0]
	q := Query{}
	q.Prefer(m)
	pick(t, g, &q)
	q.Reset(0)
	q.Prefer(m)
	if got := pick(t, g, &q); got == m || q.Tried(m) {
		t.Errorf("got %s, tried %v", got.Name(), q.Tried(m))
	}
}

func TestPinnedAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Log("allocations are not counted under the race detector")
		return
	}
	g := group(t, stickyPool(""))
	value := []byte(g.Members()[1].Pin())
	var q Query
	if n := testing.AllocsPerRun(1000, func() {
		q.Reset(0)
		q.Prefer(g.Pinned(value))
		m, _ := g.Pick(&q)
		_ = m.Pin()
		m.Done()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
