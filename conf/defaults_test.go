package conf

import (
	"testing"
	"time"
)

// TestDefaults states the defaults that the rest of Weir, its documents and its
// users rely on. To change one is to change a promise.
func TestDefaults(t *testing.T) {
	c, err := Parse("x", []byte(`
		pool.app = { servers = ["127.0.0.1:1"], health = { type = "tcp" } }
		l4 = [{ name = "tcp", listen = [":1"], pool = "app" }]
		l7 = [{ name = "web", listen = [":2"], route = [{ pool = "app" }] }]
	`))
	if err != nil {
		t.Fatal(err)
	}
	f := func(name string, got, want any) {
		t.Helper()
		if got != want {
			t.Errorf("%s is %v by default, want %v", name, got, want)
		}
	}
	f("drain_timeout", c.Process.DrainTimeout, 30*time.Second)

	p := c.Pools[0]
	f("weight", p.Servers[0].Weight, 1)
	f("balance", p.Balance, "round_robin")
	f("connect_timeout", p.ConnectTimeout, 2*time.Second)
	f("connect_tries", p.ConnectTries, 4)
	f("connect_total_timeout", p.ConnectTotal, 10*time.Second)
	f("queue", p.Queue, 1000)
	f("queue_timeout", p.QueueTimeout, 5*time.Second)
	f("tcp_nodelay", p.Socket.NoDelay, true)
	f("tcp_keepalive", p.Socket.KeepAlive, time.Minute)
	f("failures", p.Ejection.Failures, 5)
	f("time", p.Ejection.Time, time.Second)
	f("max_time", p.Ejection.MaxTime, 30*time.Second)
	f("max_percent", p.Ejection.MaxPercent, 50)
	f("max_idle", p.KeepAlive.MaxIdle, 128)
	f("idle_timeout of keepalive", p.KeepAlive.IdleTimeout, time.Minute)
	h := p.Health
	if recovery := time.Duration(h.Rise)*h.DownInterval + h.Timeout/2; recovery >= 2*time.Second {
		t.Errorf("a server that came back gets traffic after %v, want less than 2s", recovery)
	}

	l4 := c.L4[0]
	f("sniff_timeout", l4.SniffTimeout, 5*time.Second)
	f("sniff_max", l4.SniffMax, Size(16<<10))
	f("idle_timeout", l4.IdleTimeout, time.Hour)
	f("half_closed_timeout", l4.HalfClosedTimeout, 30*time.Second)
	f("tcp_nodelay of clients", l4.Socket.NoDelay, true)
	f("tcp_keepalive of clients", l4.Socket.KeepAlive, time.Minute)
	f("lifetime", l4.Lifetime, time.Duration(0))

	l7 := c.L7[0]
	f("header_timeout", l7.HeaderTimeout, 10*time.Second)
	f("keepalive_timeout", l7.KeepAliveTimeout, time.Minute)
	f("body_grace", l7.BodyGrace, 10*time.Second)
	f("body_min_rate", l7.BodyMinRate, Size(1<<10))
	f("max_header_bytes", l7.MaxHeaderBytes, Size(32<<10))
	f("max_header_fields", l7.MaxHeaderFields, 100)
	f("max_uri", l7.MaxURI, Size(8<<10))
	f("max_body", l7.MaxBody, Size(0))
	f("paths", l7.Paths, "strict")
	f("response_header_timeout", l7.Routes[0].ResponseHeaderTimeout, time.Minute)
}
