package backend

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"weir/conf"
)

func named(host string, port uint16) conf.Server {
	return conf.Server{Addr: conf.Addr{Network: "tcp", Host: host, Port: port}, Weight: 2}
}

func addresses(g *Group) string {
	var list []string
	for _, m := range g.Members() {
		list = append(list, m.Name())
	}
	return strings.Join(list, " ")
}

// eventually waits for got to become want; how long is bounded generously.
func eventually(t *testing.T, what, want string, got func() string) {
	t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for got() != want {
		if time.Now().After(deadline) {
			t.Fatalf("%s: got %q, want %q", what, got(), want)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// prepareWith commits pools with a DNS configuration.
func prepareWith(t *testing.T, r *Registry, dns conf.DNS, pools ...conf.Pool) *Snapshot {
	t.Helper()
	s, err := r.Prepare(context.Background(), pools, dns)
	if err != nil {
		t.Fatal(err)
	}
	r.Commit(s)
	return s
}

// poke makes the registry look a name up now, instead of after a pause.
func poke(r *Registry, host string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case r.names[host].poke <- struct{}{}:
	default:
	}
}

// Row 18: a name follows its answer within the TTL; failures keep the last good set.
func TestNameFollowsDNS(t *testing.T) {
	dns := newFakeDNS(t, only(records("app.test. 1 A 127.0.0.1", "app.test. 1 A 127.0.0.2")))
	var d downs
	r := newTestRegistry(t, Options{OnDown: d.add})
	p := testPool("p", "", []conf.Server{named("App.test", 80)})
	q := testPool("q", "", []conf.Server{named("app.test", 81), server("10.0.0.1:1")})
	s := prepareWith(t, r, dns.conf(), p, q)
	g, h := s.Group("p"), s.Group("q")
	if got := addresses(g) + "; " + addresses(h); got !=
		"127.0.0.1:80 127.0.0.2:80; 127.0.0.1:81 127.0.0.2:81 10.0.0.1:1" {
		t.Fatalf("members: %s", got)
	}
	if st := g.Status(); st.Members[0].Server != "App.test:80" || st.Members[0].Weight != 2 ||
		fmt.Sprint(st.Names[0].Addresses) != "[127.0.0.1 127.0.0.2]" {
		t.Errorf("status: %+v", st)
	}
	kept := g.Members()[1]
	kept.SetDrain(true)
	d.take()

	dns.set(only(records("app.test. 1 A 127.0.0.2", "app.test. 1 A 127.0.0.3")))
	eventually(t, "changed", "127.0.0.2:80 127.0.0.3:80", func() string { return addresses(g) })
	eventually(t, "changed in the other group", "127.0.0.2:81 127.0.0.3:81 10.0.0.1:1",
		func() string { return addresses(h) })
	if g.Members()[0] != kept || !g.Status().Members[0].Drain {
		t.Error("the member that stayed lost its state")
	}
	eventually(t, "OnDown", "[127.0.0.1:80 127.0.0.1:81]", func() string {
		d.mu.Lock()
		defer d.mu.Unlock()
		return fmt.Sprint(d.list)
	})

	for _, bad := range []fakeAnswer{
		{rcode: dnsmessage.RCodeNameError},
		{rcode: dnsmessage.RCodeServerFailure},
		records("app.test. 1 CNAME b.test.", "b.test. 1 CNAME app.test."),
		{},
	} {
		dns.set(only(bad))
		poke(r, "app.test")
		eventually(t, "error is shown", "true", func() string {
			return fmt.Sprint(g.Status().Names[0].Error != "")
		})
		if got := addresses(g); got != "127.0.0.2:80 127.0.0.3:80" {
			t.Fatalf("%+v: last good set is lost: %s", bad, got)
		}
		dns.set(only(records("app.test. 1 A 127.0.0.2", "app.test. 1 A 127.0.0.3")))
		poke(r, "app.test")
		eventually(t, "error is over", "", func() string { return g.Status().Names[0].Error })
	}

	// The name leaves the configuration: its goroutine ends, which goleak sees.
	prepareWith(t, r, dns.conf(), testPool("q", "", []conf.Server{server("10.0.0.1:1")}))
	if got := addresses(h); got != "10.0.0.1:1" {
		t.Errorf("members: %s", got)
	}
}

// A name that has no answer at the start is no error; its servers join later.
func TestNameComesLate(t *testing.T) {
	dns := newFakeDNS(t, only(fakeAnswer{rcode: dnsmessage.RCodeServerFailure}))
	r := newTestRegistry(t, Options{})
	g := prepareWith(t, r, dns.conf(), testPool("p", "", []conf.Server{named("app.test", 80)})).Group("p")
	if _, err := g.Pick(&Query{}); err != ErrNoServer {
		t.Errorf("got %v", err)
	}
	dns.set(only(records("app.test. 60 A 127.0.0.1")))
	eventually(t, "joined", "127.0.0.1:80", func() string { return addresses(g) })
	pick(t, g, &Query{}).Done()
}

// Prepare returns in time when no server answers.
func TestPrepareWithSilentDNS(t *testing.T) {
	dns := newFakeDNS(t, only(fakeAnswer{silent: true}))
	r := newTestRegistry(t, Options{})
	c := dns.conf()
	c.Timeout = 20 * time.Millisecond
	var list []conf.Server
	for i := range 100 {
		list = append(list, named(fmt.Sprintf("n%d.test", i), 80))
	}
	start := time.Now()
	g := prepareWith(t, r, c, testPool("p", "", list)).Group("p")
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("Prepare took %v", took)
	}
	if g.Usable() != 0 {
		t.Error("servers without an address are usable")
	}
}

// A change of the DNS servers takes effect at once, not when the TTL is over.
func TestOtherDNSServers(t *testing.T) {
	old := newFakeDNS(t, only(records("app.test. 300 A 127.0.0.1")))
	next := newFakeDNS(t, only(records("app.test. 300 A 127.0.0.2")))
	r := newTestRegistry(t, Options{})
	p := testPool("p", "", []conf.Server{named("app.test", 80)})
	g := prepareWith(t, r, old.conf(), p).Group("p")
	prepareWith(t, r, next.conf(), p)
	eventually(t, "asked the other server", "127.0.0.2:80", func() string { return addresses(g) })
}

// One of the two questions failing does not take the addresses of the other kind away.
func TestHalfAnAnswer(t *testing.T) {
	r := newTestRegistry(t, Options{})
	n := &dnsName{host: "x"}
	learn := func(v4, v6 string, lost4, lost6 bool, want string) {
		t.Helper()
		a := answer{ttl: time.Second, lost4: lost4, lost6: lost6}
		for s := range strings.FieldsSeq(v4 + " " + v6) {
			a.addrs = append(a.addrs, parseHosts(s + " x")["x"]...)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.learn(n, prepared{answer: a})
		if got := fmt.Sprint(n.addrs); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	learn("10.0.0.1", "fd00::1", false, false, "[10.0.0.1 fd00::1]")
	learn("10.0.0.2", "", false, true, "[10.0.0.2 fd00::1]")
	learn("", "fd00::2", true, false, "[10.0.0.2 fd00::2]")
	learn("10.0.0.3", "", false, false, "[10.0.0.3]")
}

func TestRetryOfLookupsBacksOff(t *testing.T) {
	r := newTestRegistry(t, Options{})
	n := &dnsName{host: "x"}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, seconds := range []int{1, 2, 4, 8, 16, 30, 30} {
		got := r.learn(n, prepared{err: errDNSTimeout})
		want := time.Duration(seconds) * time.Second
		if got < want*9/10 || got > want*11/10+time.Millisecond {
			t.Errorf("got %v, want about %v", got, want)
		}
	}
}
