package upstream

import (
	"testing"
	"time"
)

func TestIdleHint(t *testing.T) {
	f := func(value string, want time.Duration) {
		t.Helper()
		if got := idleHint([]byte(value)); got != want {
			t.Errorf("%q: got %v, want %v", value, got, want)
		}
	}
	f("timeout=5", 4*time.Second)
	f("timeout=5, max=100", 4*time.Second)
	f("max=100,Timeout = 10", 8*time.Second)
	f("timeout=1", 800*time.Millisecond)
	f("timeout=0", 0)
	f("max=5", 0)
	f("", 0)
	f(",,=", 0)
	f("timeout", 0)
	f("timeout=", 0)
	f("timeout=-5", 0)
	f("timeout=5s", 0)
	f("timeout=9999999", 0)
	f("xtimeout=5", 0)
}

// A backend that says when it will close is believed, so that no request meets
// the closing.
func TestIdleTimeoutOfTheBackend(t *testing.T) {
	f := func(field string, want time.Duration) {
		t.Helper()
		b := serve(t, answering("HTTP/1.1 200 OK\r\n"+field+"Content-Length: 2\r\n\r\nok"))
		tr := newTransport(t)
		before := time.Now()
		exchange(t, tr, b.target()) // its own limit is an hour
		c := mustGet(t, tr, b.target(), false)
		defer c.Release()
		if got := c.idleUntil.Sub(before); !c.reused || got < want || got > want+patience {
			t.Errorf("%q: kept for %v, want %v", field, got, want)
		}
	}
	f("Keep-Alive: timeout=100\r\n", 80*time.Second)
	f("Keep-Alive: timeout=100000\r\n", time.Hour)
	f("", time.Hour)
}
