package backend

import (
	"strings"
	"testing"
)

// order gives the last numbers of the addresses that n picks go to.
func order(t *testing.T, g *Group, n int) string {
	t.Helper()
	var b strings.Builder
	for range n {
		m := pick(t, g, &Query{})
		m.Done()
		name := strings.TrimSuffix(m.Name(), ":1")
		b.WriteString(name[strings.LastIndexByte(name, '.')+1:])
	}
	return b.String()
}

func TestRoundRobinOrder(t *testing.T) {
	f := func(want string, weights ...int) {
		t.Helper()
		r := newTestRegistry(t, Options{})
		g := commit(t, r, testPool("p", balanceRoundRobin, servers(weights...))).Group("p")
		if got := order(t, g, len(want)); got != want {
			t.Errorf("weights %v: got %s, want %s", weights, got, want)
		}
	}
	f("1111", 1)
	f("1212", 1, 1)
	f("123123", 1, 1, 1)
	f("123123", 7, 7, 7)
	f("112112", 2, 1)
	f("1112113", 5, 1, 1)
}
