package backend

import (
	"testing"

	"weir/conf"
)

// zonePool has the servers 1 to 4 in zone a, which is Weir's own, 5 and 6 in b, and
// 7 as a backup.
func zonePool(balance string) conf.Pool {
	p := testPool("p", balance, servers(1, 1, 1, 1, 1, 1, 1))
	p.Zone, p.ZoneMin = "a", 50
	for i := range p.Servers {
		p.Servers[i].Zone = "b"
		if i < 4 {
			p.Servers[i].Zone = "a"
		}
	}
	p.Servers[6].Backup = true
	return p
}

// where the work of a group goes, as the numbers of its servers.
func served(t *testing.T, g *Group) string {
	t.Helper()
	seen := map[*Member]bool{}
	for i := range 600 {
		m := pick(t, g, &Query{Hash: uint64(i)})
		m.Done()
		seen[m] = true
	}
	var list []byte
	for i, m := range g.Members() {
		if seen[m] {
			list = append(list, byte('1'+i))
		}
	}
	return string(list)
}

func TestZone(t *testing.T) {
	for _, balance := range balancers {
		g := group(t, zonePool(balance))
		f := func(want string, out ...int) {
			t.Helper()
			for _, i := range out {
				g.r.mu.Lock()
				g.members[i-1].endpoint.down.Store(true)
				g.rebuild(g.members[i-1].ramp)
				g.r.mu.Unlock()
			}
			if got := served(t, g); got != want {
				t.Errorf("%s: %v went down: got %s, want %s", balance, out, got, want)
			}
		}
		f("1234")
		f("34", 1, 2)
		f("456", 3)
		f("56", 4)
		f("7", 5, 6)
	}
}

// A zone that nobody of the pool is in, or everybody, changes nothing.
func TestZoneOfNobody(t *testing.T) {
	p := zonePool("")
	p.Zone = "c"
	if got := served(t, group(t, p)); got != "123456" {
		t.Errorf("got %s", got)
	}
	p = zonePool("")
	p.Servers = p.Servers[:4]
	if got := served(t, group(t, p)); got != "1234" {
		t.Errorf("got %s", got)
	}
}

// A zone at its max_conns, or whose servers failed this request, spills over; only
// where the other zones are full too is there nobody, and not the backup.
func TestZoneSpillsOver(t *testing.T) {
	p := zonePool(balanceLeastConn)
	for i := range p.Servers {
		p.Servers[i].MaxConns = 1
	}
	g := group(t, p)
	var held []*Member
	for i := range 6 {
		m := pick(t, g, &Query{})
		if local := m.entry.zone == "a"; local != (i < 4) {
			t.Errorf("the %d. request went to zone %s", i+1, m.entry.zone)
		}
		held = append(held, m)
	}
	if _, err := g.Pick(&Query{}); err != ErrFull {
		t.Errorf("got %v, want ErrFull", err)
	}
	for _, m := range held {
		m.Done()
	}
	q := Query{}
	for i := range 7 {
		m := pick(t, g, &q)
		m.Done()
		if want := []string{"a", "a", "a", "a", "b", "b", "b"}[i]; m.entry.zone != want {
			t.Errorf("the %d. try went to zone %s, want %s", i+1, m.entry.zone, want)
		}
	}
}

// One who waits gets the slot that comes free in another zone.
func TestZoneAndQueue(t *testing.T) {
	p := zonePool(balanceLeastConn)
	p.Queue = 1
	for i := range p.Servers {
		p.Servers[i].MaxConns = 1
	}
	g := group(t, p)
	var last *Member
	for range 6 {
		last = pick(t, g, &Query{})
	}
	woken := make(chan struct{}, 1)
	w := Waiter{Wake: func() { woken <- struct{}{} }}
	if err := g.Enqueue(&w, &Query{}); err != nil {
		t.Fatal(err)
	}
	last.Done()
	<-woken
	if m, err := w.Leave(); m != last || err != nil {
		t.Errorf("got %v, %v, want %s", m, err, last.Name())
	}
}
