package engine

import (
	"os"
	"testing"
	"time"

	"weir/conf"
)

// The sockets that a configuration listens on are not there for connections.
func TestFixedDescriptors(t *testing.T) {
	f := func(text string, loops, want int) {
		t.Helper()
		cfg, err := conf.Parse("test", []byte("[pool.p]\nservers = [\"10.0.0.1:1\"]\n"+text))
		if err != nil {
			t.Fatal(err)
		}
		if got := fixedDescriptors(cfg, loops); got != want {
			t.Errorf("%d loops: got %d, want %d", loops, got, want)
		}
	}
	l4 := "[[l4]]\nname = \"a\"\npool = \"p\"\nlisten = [\":1\", \":2\", \"unix:/run/a\"]\n"
	l7 := "[[l7]]\nname = \"b\"\nlisten = [\":3\"]\n[[l7.route]]\npool = \"p\"\n"
	f(l4, 1, 6)
	f(l4, 8, 41)
	f(l4+l7, 8, 49)
}

// TestFixedDescriptorsAreOpen compares with what the kernel says.
func TestFixedDescriptorsAreOpen(t *testing.T) {
	open := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	server := backendServer(t, "one")
	before := open()
	for still := 0; still < 20; { // what tests before this one have closed goes by and by
		time.Sleep(10 * time.Millisecond)
		if now := open(); now != before {
			before, still = now, -1
		}
		still++
	}
	r := newRig(t, "[[l4]]\nname = \"tcp\"\nlisten = [\"127.0.0.1:0\", \"127.0.0.1:0\"]\npool = \"app\"\n"+web(server), false)
	fixed := fixedDescriptors(r.Running().Config, r.loops)
	if got := open() - before; got < fixed || got > fixed+5 {
		t.Errorf("%d more descriptors are open, want %d and a few of the admin side", got, fixed)
	}
}

// The caps of an L7 listener hold on the addresses that redirect to it too: without
// them one client could take all connections of the process there.
func TestCapsHoldForRedirect(t *testing.T) {
	here := []conf.Addr{{Network: "tcp", Host: "127.0.0.1"}}
	all := listeners(&conf.Config{
		L7: []conf.L7{{Name: "web", Listen: here, Redirect: here, MaxConns: 5, MaxConnsPerSource: 2}},
	}, nil)
	if len(all) != 2 {
		t.Fatalf("got %d listeners, want 2", len(all))
	}
	for _, l := range all {
		if l.MaxConns != 5 || l.MaxConnsPerSource != 2 {
			t.Errorf("%s has the caps %d and %d, want 5 and 2", l.Name, l.MaxConns, l.MaxConnsPerSource)
		}
	}
}
