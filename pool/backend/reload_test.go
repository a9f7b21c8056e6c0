package backend

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/conf"
	"weir/pool/metric"
)

// downs collects what OnDown is told.
type downs struct {
	mu   sync.Mutex
	list []string
}

func (d *downs) add(e *Endpoint) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.list = append(d.list, e.String())
}

func (d *downs) take() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := d.list
	d.list = nil
	slices.Sort(list)
	return list
}

func TestReloadKeepsWhatStays(t *testing.T) {
	var d downs
	r := newTestRegistry(t, Options{OnDown: d.add})
	g := commit(t, r, testPool("p", "", servers(1, 1, 1))).Group("p")
	a, b, c := g.Members()[0], g.Members()[1], g.Members()[2]
	a.SetDrain(true)
	b.Report(Refused)
	held := pick(t, g, &Query{})
	if held != c {
		t.Fatalf("got %s", held.Name())
	}
	d.take()

	next := testPool("p", balanceLeastConn, servers(5, 1, 1)[:2])
	next.Servers[1].MaxConns = 7
	next.ConnectTimeout = time.Minute
	next.Servers = append(next.Servers, server("10.0.9.9:1"))
	s := commit(t, r, next)
	if s.Group("p") != g || r.Group("p") != g {
		t.Error("the group is another one")
	}
	if g.ConnectTimeout() != time.Minute || g.Conf().Balance != balanceLeastConn {
		t.Error("the group has not taken over its configuration")
	}
	if g.Members()[0] != a || g.Members()[1] != b {
		t.Error("members are other ones")
	}
	st := g.Status().Members
	if !st[0].Drain || st[0].Weight != 5 {
		t.Errorf("drain is lost or weight is old: %+v", st[0])
	}
	if st[1].State != "ejected" || st[1].MaxConns != 7 {
		t.Errorf("ejection is lost or max_conns is old: %+v", st[1])
	}
	if got := d.take(); fmt.Sprint(got) != "[10.0.0.3:1]" {
		t.Errorf("OnDown was told of %v, want the removed one", got)
	}
	if held.InFlight() != 1 {
		t.Error("what is in flight on the removed member is lost")
	}
	held.Report(Refused) // of no consequence
	held.Done()
	if m := pick(t, g, &Query{}); m.Name() != "10.0.9.9:1" {
		t.Errorf("got %s, want the new one", m.Name())
	}
}

func TestAdminOverridesAndReload(t *testing.T) {
	r := newTestRegistry(t, Options{})
	list := servers(2, 3)
	list[1].Maintenance = true
	p := testPool("p", "", list)
	g := commit(t, r, p).Group("p")
	check := func(what string, weight0 int, maintenance1 bool) {
		t.Helper()
		st := g.Status().Members
		if st[0].Weight != weight0 || st[1].Maintenance != maintenance1 {
			t.Errorf("%s: weight %d, maintenance %v", what, st[0].Weight, st[1].Maintenance)
		}
	}
	check("as configured", 2, true)
	g.Member("10.0.0.1:1").SetWeight(9)
	g.Member("10.0.0.2:1").SetMaintenance(false)
	check("overridden", 9, false)
	commit(t, r, p)
	check("the same again", 9, false)

	p.Health = conf.Health{Type: checkTCP, Interval: time.Hour, Timeout: time.Second, Rise: 1, Fall: 1}
	commit(t, r, p)
	check("with other checks", 9, false)

	p.Servers = slices.Clone(p.Servers)
	p.Servers[0].Weight, p.Servers[1].Maintenance = 4, false
	commit(t, r, p)
	check("configured anew", 4, false)
	p.Servers = slices.Clone(p.Servers)
	p.Servers[1].Maintenance = true
	commit(t, r, p)
	check("configured anew", 4, true)

	m := g.Member("10.0.0.1:1")
	m.SetWeight(MaxWeight + 5)
	check("too much", MaxWeight, true)
	m.SetWeight(0)
	check("none", 0, true)
	if _, err := g.Pick(&Query{}); err != ErrNoServer {
		t.Errorf("weight 0 and maintenance: %v", err)
	}
	m.SetWeight(-7)
	check("as configured", 4, true)
	if g.Member("10.0.0.9:1") != nil {
		t.Error("found a member that is not there")
	}
}

func TestMaintenanceDropsConnections(t *testing.T) {
	var d downs
	r := newTestRegistry(t, Options{OnDown: d.add})
	g := commit(t, r, testPool("p", "", servers(1, 1))).Group("p")
	g.Members()[0].SetDrain(true)
	if got := d.take(); len(got) != 0 {
		t.Errorf("drain: OnDown was told of %v", got)
	}
	g.Members()[1].SetMaintenance(true)
	if got := d.take(); fmt.Sprint(got) != "[10.0.0.2:1]" {
		t.Errorf("maintenance: OnDown was told of %v", got)
	}
}

// A group that a reload removes serves those who still hold it; its endpoints go.
func TestRetiredGroup(t *testing.T) {
	var d downs
	r := newTestRegistry(t, Options{OnDown: d.add})
	s := commit(t, r, testPool("a", "", servers(1, 1)), testPool("b", "", servers(1)))
	a := s.Group("a")
	m := pick(t, a, &Query{})
	commit(t, r, testPool("b", "", servers(1)))
	if got := d.take(); fmt.Sprint(got) != "[10.0.0.2:1]" {
		t.Errorf("OnDown was told of %v, want only what b does not have", got)
	}
	if r.Group("a") != nil {
		t.Error("the group is still there")
	}
	m.Done()
	m.Report(Refused)
	m.SetDrain(true)
	pick(t, a, &Query{}).Done()

	again := commit(t, r, testPool("a", "", servers(1, 1)), testPool("b", "", servers(1))).Group("a")
	if again == a {
		t.Error("a retired group came back")
	}
	if !again.Members()[1].Endpoint().Usable() {
		t.Error("what was forgotten is remembered")
	}
}

func TestPrepareChangesNothing(t *testing.T) {
	r := newTestRegistry(t, Options{})
	g := commit(t, r, testPool("p", "", servers(1, 1))).Group("p")
	s, err := r.Prepare(context.Background(), []conf.Pool{testPool("p", "", servers(1)), testPool("q", "", servers(1))},
		conf.DNS{})
	if err != nil {
		t.Fatal(err)
	}
	if s.Group("p") != g || s.Group("q") == nil || s.Group("x") != nil || len(s.Groups()) != 2 {
		t.Error("the snapshot has the wrong groups")
	}
	if _, err := s.Group("q").Pick(&Query{}); err != ErrNoServer {
		t.Errorf("a group before its commit: %v", err)
	}
	r.Discard(s)
	if got := usable(g); got != "12" || r.Group("q") != nil {
		t.Errorf("in rotation are %s", got)
	}
	func() {
		defer func() {
			if v := recover(); v == nil || !strings.HasPrefix(fmt.Sprint(v), "BUG: ") {
				t.Errorf("commit of a discarded snapshot: %v", v)
			}
		}()
		r.Commit(s)
	}()
}

func TestPrepareRefuses(t *testing.T) {
	r := newTestRegistry(t, Options{})
	f := func(change func(p *conf.Pool), want string) {
		t.Helper()
		p := testPool("p", "", servers(1))
		change(&p)
		_, err := r.Prepare(context.Background(), []conf.Pool{p}, conf.DNS{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	f(func(p *conf.Pool) { p.Balance = "best" }, `unknown balance "best"`)
	f(func(p *conf.Pool) { p.Health.Type = "icmp" }, `unknown health type "icmp"`)
	f(func(p *conf.Pool) { p.Servers[0].Addr = conf.Addr{} }, "expected host:port or unix:/path")
	f(func(p *conf.Pool) { p.Servers[0].Addr.Port = 0 }, "expected host:port or unix:/path")
	f(func(p *conf.Pool) { p.Servers[0].Weight = -1 }, "weight -1 is not within 0-1000")

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := r.Prepare(ctx, []conf.Pool{testPool("p", "", servers(1))}, conf.DNS{}); err == nil {
		t.Error("prepared with a cancelled context")
	}
}

func TestOneAddressIsOneMember(t *testing.T) {
	r := newTestRegistry(t, Options{})
	list := []conf.Server{
		server("10.0.0.1:1"), server("10.0.0.1:1"), server("[::ffff:10.0.0.1]:1"), server("10.0.0.1:2"),
	}
	list[0].Weight = 3
	g := commit(t, r, testPool("p", "", list)).Group("p")
	if st := g.Status().Members; len(st) != 2 || st[0].Weight != 3 {
		t.Errorf("members: %+v", st)
	}
}

func TestSockaddr(t *testing.T) {
	f := func(a conf.Addr, network, address, sockaddr string) {
		t.Helper()
		r := newTestRegistry(t, Options{})
		g := commit(t, r, testPool("p", "", []conf.Server{{Addr: a, Weight: 1}})).Group("p")
		e := g.Members()[0].Endpoint()
		n, s := e.Addr()
		if n != network || s != address || fmt.Sprintf("%T", e.Sockaddr()) != sockaddr {
			t.Errorf("%v: got %s %s %T", a, n, s, e.Sockaddr())
		}
		if e.ID() == 0 || g.Members()[0].Name() != a.String() || g.Members()[0].Group() != g {
			t.Errorf("%v: id %d, name %s", a, e.ID(), g.Members()[0].Name())
		}
	}
	f(conf.Addr{Network: "tcp", Host: "10.0.0.1", Port: 80}, "tcp", "10.0.0.1:80", "*unix.SockaddrInet4")
	f(conf.Addr{Network: "tcp", Host: "fe80::1", Port: 80}, "tcp", "[fe80::1]:80", "*unix.SockaddrInet6")
	f(conf.Addr{Network: "unix", Path: "/run/x"}, "unix", "/run/x", "*unix.SockaddrUnix")
	f(conf.Addr{Network: "unix", Path: "@x"}, "unix", "@x", "*unix.SockaddrUnix")
}

func TestStatusJSON(t *testing.T) {
	r := newTestRegistry(t, Options{})
	p := testPool("p", balanceP2C, servers(2, 1))
	p.Servers[1].Backup = true
	g := commit(t, r, p).Group("p")
	m := pick(t, g, &Query{})
	m.Report(Refused)
	got, err := json.Marshal(r.Status())
	if err != nil {
		t.Fatal(err)
	}
	until := g.Status().Members[0].EjectedUntil
	want := `[{"pool":"p","balance":"p2c","usable":1,"members":[` +
		`{"server":"10.0.0.1:1","address":"10.0.0.1:1","state":"ejected","reason":"ejected: refused",` +
		`"in_rotation":false,"weight":2,"effective_weight":0,"backup":false,"drain":false,"maintenance":false,` +
		`"in_flight":1,"max_conns":0,"picks":1,"consecutive_failures":0,"connect_timeouts":0,` +
		`"ejected_until":"` + until.Format(time.RFC3339Nano) + `","ejections":1},` +
		`{"server":"10.0.0.2:1","address":"10.0.0.2:1","state":"healthy",` +
		`"in_rotation":true,"weight":1,"effective_weight":1,"backup":true,"drain":false,"maintenance":false,` +
		`"in_flight":0,"max_conns":0,"picks":0,"consecutive_failures":0,"connect_timeouts":0,"ejections":0}]}]`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestMetrics(t *testing.T) {
	reg := metric.New()
	r := newTestRegistry(t, Options{Metrics: reg})
	g := commit(t, r, testPool("p", "", servers(1, 1))).Group("p")
	m := pick(t, g, &Query{})
	m.Report(Refused)
	q := Query{}
	pick(t, g, &q)
	if _, err := g.Pick(&q); err == nil {
		t.Error("picked a third of two")
	}
	show := func() string {
		var b strings.Builder
		reg.WritePrometheus(&b)
		return b.String()
	}
	text := show()
	for _, want := range []string{
		`weir_backend_up{pool="p",backend="10.0.0.1:1"} 0`,
		`weir_backend_up{pool="p",backend="10.0.0.2:1"} 1`,
		`weir_backend_picks_total{pool="p",backend="10.0.0.1:1"} 1`,
		`weir_backend_in_flight{pool="p",backend="10.0.0.2:1"} 1`,
		`weir_backend_ejections_total{pool="p",backend="10.0.0.1:1",reason="refused"} 1`,
		`weir_backend_state_changes_total{pool="p",backend="10.0.0.1:1",state="ejected"} 1`,
		`weir_backend_pick_failures_total{pool="p",reason="none"} 1`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("missing: %s", want)
		}
	}
	commit(t, r, testPool("p", "", servers(1, 1)[1:]))
	if text := show(); strings.Contains(text, "10.0.0.1:1") {
		t.Errorf("a removed member is still shown:\n%s", text)
	}
	commit(t, r)
	if text := show(); strings.Contains(text, `backend="`) {
		t.Errorf("members of a removed group are still shown:\n%s", text)
	}
}

func TestDoneWithoutPick(t *testing.T) {
	g := group(t, testPool("p", "", servers(1)))
	defer func() {
		if v := recover(); v == nil || !strings.HasPrefix(fmt.Sprint(v), "BUG: ") {
			t.Errorf("got %v", v)
		}
	}()
	g.Members()[0].Done()
}
