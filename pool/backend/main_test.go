package backend

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weir/conf"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newTestRegistry makes a registry that is closed with the test.
func newTestRegistry(t testing.TB, o Options) *Registry {
	t.Helper()
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	r := New(o)
	t.Cleanup(r.Close)
	return r
}

// commit puts pools into force.
func commit(t testing.TB, r *Registry, pools ...conf.Pool) *Snapshot {
	t.Helper()
	s, err := r.Prepare(context.Background(), pools, conf.DNS{})
	if err != nil {
		t.Fatal(err)
	}
	r.Commit(s)
	return s
}

// server makes an entry from "host:port" with weight 1.
func server(address string) conf.Server {
	a := netip.MustParseAddrPort(address)
	return conf.Server{Addr: conf.Addr{Network: "tcp", Host: a.Addr().String(), Port: a.Port()}, Weight: 1}
}

// servers makes entries 10.0.0.1:1, 10.0.0.2:1 ... with the weights.
func servers(weights ...int) []conf.Server {
	list := make([]conf.Server, 0, len(weights))
	for i, w := range weights {
		s := server(fmt.Sprintf("10.0.%d.%d:1", (i+1)/256, (i+1)%256))
		s.Weight = w
		list = append(list, s)
	}
	return list
}

// testPool is a pool with passive ejection as the defaults have it.
func testPool(name, balance string, list []conf.Server) conf.Pool {
	return conf.Pool{
		Name: name, Balance: balance, Servers: list, ConnectTimeout: time.Second,
		Ejection: conf.Ejection{
			Enabled: true, Failures: 5, Time: time.Second, MaxTime: 30 * time.Second, MaxPercent: 50,
		},
	}
}

// pick picks a member or ends the test.
func pick(t testing.TB, g *Group, q *Query) *Member {
	t.Helper()
	m, err := g.Pick(q)
	if err != nil {
		t.Fatalf("Pick: %v", err)
	}
	return m
}
