package engine

import (
	"net"
	"path/filepath"
	"regexp"
	"testing"
)

func TestNotify(t *testing.T) {
	f := func(socket, want string, send func(n notifier) error) {
		t.Helper()
		l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		t.Setenv("NOTIFY_SOCKET", socket)
		if err := send(newNotifier()); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 1000)
		n, err := l.Read(buf)
		if err != nil || !regexp.MustCompile("^"+want+"$").Match(buf[:n]) {
			t.Fatalf("got %q, %v, want %q", buf[:n], err, want)
		}
	}
	path := filepath.Join(t.TempDir(), "notify")
	f(path, "READY=1\nSTATUS=serving", func(n notifier) error { return n.ready("serving") })
	f(path+"2", "RELOADING=1\nMONOTONIC_USEC=[0-9]{4,}", notifier.reloading)
	f(path+"3", "WATCHDOG=1", notifier.alive)
	f("@"+path, "STOPPING=1\nSTATUS=draining", func(n notifier) error { return n.stopping("draining") })
}

func TestNotifyNobody(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	if err := newNotifier().ready("serving"); err != nil {
		t.Fatal(err)
	}
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "nobody"))
	if err := newNotifier().ready("serving"); err == nil {
		t.Fatal("no error without a listener")
	}
}
