package backend

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"weir/conf"
)

var balancers = []string{
	balanceRoundRobin, balanceLeastConn, balanceP2C, balanceRandom, balanceSourceHash, balanceHash, balanceLatency,
}

// group commits one pool and returns its group.
func group(t testing.TB, p conf.Pool) *Group {
	t.Helper()
	return commit(t, newTestRegistry(t, Options{}), p).Group(p.Name)
}

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
		g := group(t, testPool("p", balanceRoundRobin, servers(weights...)))
		if got := order(t, g, len(want)); got != want {
			t.Errorf("weights %v: got %s, want %s", weights, got, want)
		}
	}
	f("1111", 1)
	f("1212", 1, 1)
	f("123123", 1, 1, 1)
	f("123123", 7, 7, 7)
	f("112112", 2, 1)
	f("11121131112113", 5, 1, 1)
	f("1221212212", 4, 6)
}

// The share of each member follows the weights, in every balancer, when each pick
// ends at once and when none ends.
func TestShares(t *testing.T) {
	f := func(balance string, keep bool, weights ...int) {
		t.Helper()
		g := group(t, testPool("p", balance, servers(weights...)))
		const picks = 20000
		got := map[*Member]int{}
		for i := range picks {
			m := pick(t, g, &Query{Hash: uint64(i)})
			got[m]++
			if !keep {
				m.Done()
			}
		}
		total := 0
		for _, w := range weights {
			total += w
		}
		for i, m := range g.Members() {
			want := float64(picks) * float64(weights[i]) / float64(total)
			// Five standard deviations of a random choice, and the grain of a lookup table.
			slack := 5*math.Sqrt(want) + 0.03*want
			if math.Abs(float64(got[m])-want) > slack {
				t.Errorf("%s, kept %v, weights %v: member %d got %d, want %.0f +- %.0f",
					balance, keep, weights, i, got[m], want, slack)
			}
		}
	}
	for _, b := range balancers {
		for _, keep := range []bool{false, true} {
			f(b, keep, 1)
			f(b, keep, 1, 1)
			f(b, keep, 1, 1, 1, 1, 1)
			f(b, keep, 1, 2)
			f(b, keep, 10, 1, 1)
			f(b, keep, 100, 200, 300)
			f(b, keep, 1000, 999, 7, 501)
		}
	}
}

// A wheel has each member as often as its weight says, and spreads its places.
func TestWheel(t *testing.T) {
	f := func(weights ...uint32) {
		t.Helper()
		var slots []slot
		total := 0.0
		for _, w := range weights {
			slots = append(slots, slot{weight: w})
			total += float64(w)
		}
		wheel := newWheel(slots)
		if limit := max(wheelSize, wheelShare*len(slots)) + len(slots); len(wheel) > limit {
			t.Errorf("%v: %d places, limit %d", weights, len(wheel), limit)
		}
		places := make([][]int, len(slots))
		for at, i := range wheel {
			places[i] = append(places[i], at)
		}
		for i, at := range places {
			want := float64(weights[i]) / total * float64(len(wheel))
			if math.Abs(float64(len(at))-want) > 1 {
				t.Errorf("%v: member %d has %d of %d places, want %.1f", weights, i, len(at), len(wheel), want)
			}
			for k := 1; k < len(at); k++ {
				if gap, fair := float64(at[k]-at[k-1]), float64(len(wheel))/want; gap > 2*fair+float64(len(slots)) {
					t.Errorf("%v: member %d waits %.0f places, fair are %.1f", weights, i, gap, fair)
				}
			}
		}
	}
	f(1)
	f(64, 64, 64)
	f(64, 128)
	f(64, 63, 1)
	f(5, 1, 1)
	f(64000, 64, 64)
	f(7919, 7907, 7901, 1, 2)
	f(64000, 63999, 63998, 63997)
}

// With the work of a member unfinished, least_conn and p2c leave it alone.
func TestBusyMemberIsSpared(t *testing.T) {
	f := func(balance string, weights []int, busy, most int) {
		t.Helper()
		g := group(t, testPool("p", balance, servers(weights...)))
		m := g.Members()[0]
		for range busy {
			m.reserve()
		}
		got := 0
		for range 1000 {
			o := pick(t, g, &Query{})
			if o == m {
				got++
			}
			o.Done()
		}
		if got > most {
			t.Errorf("%s: %d picks of a member with %d in flight, at most %d expected", balance, got, busy, most)
		}
	}
	f(balanceLeastConn, []int{1, 1}, 1, 0)
	f(balanceLeastConn, []int{1000, 1}, 1, 0)
	f(balanceP2C, []int{1, 1}, 1, 0)
	f(balanceP2C, []int{1, 1, 1}, 1, 100)
	f(balanceP2C, []int{1, 1, 1, 1, 1, 1}, 5, 30)
}

// With n held connections least_conn keeps members within one of their share.
func TestLeastConnLevels(t *testing.T) {
	g := group(t, testPool("p", balanceLeastConn, servers(1, 2, 3)))
	for range 600 {
		pick(t, g, &Query{})
	}
	for i, m := range g.Members() {
		if got, want := m.InFlight(), 100*(i+1); got < want-1 || got > want+1 {
			t.Errorf("member %d: %d in flight, want %d", i, got, want)
		}
	}
}

// where tells which member each of n hashes goes to.
func where(t *testing.T, g *Group, n int) []string {
	t.Helper()
	list := make([]string, n)
	for i := range list {
		m := pick(t, g, &Query{Hash: uint64(i) * 0x1234567})
		m.Done()
		list[i] = m.Name()
	}
	return list
}

func moved(a, b []string) float64 {
	n := 0
	for i := range a {
		if a[i] != b[i] {
			n++
		}
	}
	return float64(n) / float64(len(a))
}

func TestSourceHashDisruption(t *testing.T) {
	const hashes = 20000
	f := func(n int) {
		t.Helper()
		list := servers(make([]int, n)...)
		for i := range list {
			list[i].Weight = 1
		}
		g := group(t, testPool("p", balanceSourceHash, list))
		before := where(t, g, hashes)
		if again := where(t, g, hashes); moved(before, again) != 0 {
			t.Errorf("%d members: the same hash goes to different members", n)
		}
		m := g.Members()[n/2]
		m.SetDrain(true)
		after := where(t, g, hashes)
		// What the member had must move; of the rest no more than a few percent.
		if got, want := moved(before, after), 1/float64(n); got < want*0.8 || got > want*1.2+0.04 {
			t.Errorf("%d members: one left, %.3f of the hashes moved, want about %.3f", n, got, want)
		}
		m.SetDrain(false)
		if back := where(t, g, hashes); moved(before, back) != 0 {
			t.Errorf("%d members: the member is back, its hashes are not", n)
		}
	}
	f(2)
	f(3)
	f(5)
	f(10)
	f(50)
	f(200)
}

// Another Weir, or the same after a restart, sends the same client to the same server.
func TestSourceHashIsTheSameEverywhere(t *testing.T) {
	p := testPool("p", balanceSourceHash, servers(1, 1, 2, 1))
	if n := moved(where(t, group(t, p), 5000), where(t, group(t, p), 5000)); n != 0 {
		t.Errorf("%.3f of the hashes go elsewhere", n)
	}
}

// A member that refuses or is full gives its hashes to all others, not to one.
func TestSourceHashSecondChoice(t *testing.T) {
	g := group(t, testPool("p", balanceSourceHash, servers(1, 1, 1, 1, 1)))
	second := map[string]int{}
	first := g.Members()[0]
	n := 0
	for i := range 20000 {
		q := Query{Hash: uint64(i)}
		m := pick(t, g, &q)
		m.Done()
		if m != first {
			continue
		}
		n++
		o := pick(t, g, &q)
		o.Done()
		second[o.Name()]++
	}
	for name, got := range second {
		if got < n/8 || got > n/2 {
			t.Errorf("%s is the second choice of %d of %d hashes", name, got, n)
		}
	}
	if len(second) != 4 {
		t.Errorf("second choices: %v", second)
	}
}

// Each query gets each member once, whatever the balancer, then no more.
func TestEachMemberOnce(t *testing.T) {
	for _, b := range balancers {
		for _, n := range []int{1, 2, 3, 7, 16} {
			g := group(t, testPool("p", b, servers(spread(n)...)))
			q := Query{Hash: 99}
			seen := map[*Member]bool{}
			for range n {
				m := pick(t, g, &q)
				m.Done()
				if seen[m] {
					t.Fatalf("%s: %s twice in one query", b, m.Name())
				}
				seen[m] = true
			}
			if _, err := g.Pick(&q); err != ErrNoServer {
				t.Errorf("%s, %d members: got %v, want ErrNoServer", b, n, err)
			}
			q.Reset(1)
			pick(t, g, &q).Done()
		}
	}
}

// spread gives n weights of different size.
func spread(n int) []int {
	w := make([]int, n)
	for i := range w {
		w[i] = 1 + i*i%7
	}
	return w
}

func TestTriesAreBounded(t *testing.T) {
	g := group(t, testPool("p", balanceRoundRobin, servers(spread(40)...)))
	var q Query
	for range maxTries {
		pick(t, g, &q).Done()
	}
	if _, err := g.Pick(&q); err != ErrNoServer || q.Tries() != maxTries {
		t.Errorf("got %v after %d tries", err, q.Tries())
	}
}

func TestMaxConns(t *testing.T) {
	for _, b := range balancers {
		list := servers(1, 1, 1)
		list[0].MaxConns, list[1].MaxConns, list[2].MaxConns = 2, 3, 4
		g := group(t, testPool("p", b, list))
		var held []*Member
		for range 9 {
			held = append(held, pick(t, g, &Query{Hash: uint64(len(held))}))
		}
		if m, err := g.Pick(&Query{}); err != ErrFull {
			t.Fatalf("%s: got %v, %v, want ErrFull", b, m, err)
		}
		held[4].Done()
		if m := pick(t, g, &Query{}); m != held[4] {
			t.Errorf("%s: the free slot is on %s, got %s", b, held[4].Name(), m.Name())
		}
		// A query that had the only member with room has no server left, only full ones.
		held[4].Done()
		q := Query{}
		m := pick(t, g, &q)
		m.Done()
		if _, err := g.Pick(&q); err != ErrFull {
			t.Errorf("%s: got %v, want ErrFull", b, err)
		}
	}
}

func TestBackup(t *testing.T) {
	list := servers(1, 1, 1)
	list[1].Backup = true
	list[0].MaxConns = 1
	g := group(t, testPool("p", balanceRoundRobin, list))
	a, spare, c := g.Members()[0], g.Members()[1], g.Members()[2]
	for range 10 {
		m := pick(t, g, &Query{})
		if m == spare {
			t.Fatal("the backup works beside its primaries")
		}
		m.Done()
	}
	c.SetDrain(true)
	if m := pick(t, g, &Query{}); m != a {
		t.Errorf("got %s, want the other primary", m.Name())
	}
	if _, err := g.Pick(&Query{}); err != ErrFull {
		t.Errorf("a full primary: got %v, want ErrFull, not the backup", err)
	}
	a.SetMaintenance(true)
	if m := pick(t, g, &Query{}); m != spare {
		t.Errorf("got %s, want the backup", m.Name())
	}
	a.SetMaintenance(false)
	a.Done()
	var q Query
	if m := pick(t, g, &q); m != a {
		t.Errorf("got %s, want the primary", m.Name())
	}
	if m := pick(t, g, &q); m != spare {
		t.Errorf("second try: got %s, want the backup", m.Name())
	}
}

// The table agrees with the plain rules, for any state of the members.
func TestTableTwin(t *testing.T) {
	seed := uint64(1)
	next := func(n int) int {
		seed = mix(seed)
		return int(seed % uint64(n))
	}
	for range 300 {
		n := 1 + next(8)
		list := servers(spread(n)...)
		for i := range list {
			list[i].Backup = next(4) == 0
			list[i].Maintenance = next(6) == 0
			list[i].Weight = next(4)
		}
		p := testPool("p", balancers[next(len(balancers))], list)
		p.Ejection.MaxPercent = []int{0, 10, 34, 50, 99, 100}[next(6)]
		r := newTestRegistry(t, Options{})
		g := commit(t, r, p).Group("p")
		now := time.Now()
		r.mu.Lock()
		for i, m := range g.members {
			m.drain = next(5) == 0
			m.endpoint.down.Store(next(4) == 0)
			m.endpoint.ejected.Store(next(2) == 0)
			m.endpoint.ejection.since = now.Add(time.Duration(next(50)*10+i) * time.Millisecond)
			m.endpoint.ejection.until = now.Add(time.Hour)
		}
		g.rebuild(now)
		want := twin(g)
		r.mu.Unlock()
		got := fmt.Sprint(names(g.table.Load().tiers[tierPrimary].slots), names(g.table.Load().tiers[tierBackup].slots))
		if got != want {
			t.Fatalf("%s\ngot  %s\nwant %s", describe(g), got, want)
		}
	}
}

// twin says which members are in rotation by taking the rules one after the other.
func twin(g *Group) string {
	var serving, up, used []*Member
	for _, m := range g.members {
		if !m.drain && !m.entry.maintenance && m.entry.weight > 0 {
			serving = append(serving, m)
		}
	}
	for _, m := range serving {
		if !m.endpoint.down.Load() {
			up = append(up, m)
		}
	}
	used = append(used, up...)
	out := 0
	for {
		// Of those ejected and still in use, the one that has been for longest goes next.
		oldest := -1
		for i, m := range used {
			if m.endpoint.ejected.Load() &&
				(oldest < 0 || m.endpoint.ejection.since.Before(used[oldest].endpoint.ejection.since)) {
				oldest = i
			}
		}
		percent := g.pool.Ejection.MaxPercent
		if oldest < 0 || (out+1)*100 > percent*len(serving) && percent < 100 || percent < 100 && len(used) == 1 {
			break
		}
		used = append(used[:oldest:oldest], used[oldest+1:]...)
		out++
	}
	var primary, backup []string
	for _, m := range used {
		if m.entry.backup {
			backup = append(backup, m.name)
		} else {
			primary = append(primary, m.name)
		}
	}
	return fmt.Sprint(primary, backup)
}

func names(slots []slot) []string {
	var list []string
	for _, s := range slots {
		list = append(list, s.m.name)
	}
	return list
}

func describe(g *Group) string {
	var b strings.Builder
	fmt.Fprintf(&b, "max_percent %d\n", g.pool.Ejection.MaxPercent)
	for _, m := range g.Status().Members {
		fmt.Fprintf(&b, "%+v\n", m)
	}
	return b.String()
}
