package conf

import "testing"

func TestNear(t *testing.T) {
	names := []string{
		"servers", "balance", "connect_timeout", "health", "keepalive", "max_conns",
		"max_conns_per_source", "sni", "l7",
	}
	f := func(got, want string) {
		t.Helper()
		if n := near(got, names); n != want {
			t.Errorf("near(%q) = %q, want %q", got, n, want)
		}
	}
	f("blance", "balance")
	f("balacne", "balance")
	f("Balance", "balance")
	f("server", "servers")
	f("connect-timeout", "connect_timeout")
	f("connectTimeout", "connect_timeout")
	f("keep_alive", "keepalive")
	f("helth", "health")
	f("max_conn", "max_conns")
	f("max_connections", "max_conns")
	f("snis", "sni")
	f("l4", "l7")

	f("", "")
	f("x", "")
	f("zz", "")
	f("interval", "")
	f("timeout", "")
}

func TestDistance(t *testing.T) {
	f := func(a, b string, want int) {
		t.Helper()
		if got := distance(a, b); got != want {
			t.Errorf("distance(%q, %q) = %d, want %d", a, b, got, want)
		}
		if got := distance(b, a); got != want {
			t.Errorf("distance(%q, %q) = %d, want %d", b, a, got, want)
		}
	}
	f("", "", 0)
	f("a", "", 1)
	f("abc", "abc", 0)
	f("abc", "abd", 1)
	f("abc", "acb", 1)
	f("abc", "ab", 1)
	f("kitten", "sitting", 3)
	f("ca", "abc", 3) // the optimal alignment, not the full Damerau distance
}
