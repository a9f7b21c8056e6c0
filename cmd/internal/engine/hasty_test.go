package engine

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// silentDNS is a name server that does not answer. It returns the configuration that
// names it and a function that waits for a question.
func silentDNS(t *testing.T) (text string, asked func()) {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	asked = func() {
		t.Helper()
		_ = c.SetReadDeadline(time.Now().Add(patience))
		if _, _, err := c.ReadFrom(make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	return fmt.Sprintf("[dns]\nservers = [%q]\ntimeout = \"1m\"\n", c.LocalAddr()), asked
}

func wantEnd(t *testing.T, ended <-chan error) {
	t.Helper()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Fatal("it does not end")
	}
}

// Name servers that do not answer make a start last for minutes; a signal does not
// wait for them.
func TestSignalEndsStart(t *testing.T) {
	for _, s := range []unix.Signal{unix.SIGTERM, unix.SIGINT} {
		dns, asked := silentDNS(t)
		r := &rig{t: t, dir: t.TempDir(), log: &logBuffer{}}
		r.file = filepath.Join(r.dir, "weir.toml")
		r.write(dns + web("app.test:80"))
		ended := make(chan error, 1)
		go func() {
			ended <- Run(context.Background(), Options{File: r.file, Stderr: r.log}, func(*Engine) { t.Error("it started") })
		}()
		asked()
		signalSelf(t, s)
		wantEnd(t, ended)
	}
}

func TestSignalEndsReload(t *testing.T) {
	dns, asked := silentDNS(t)
	r, ended := runRig(t, dns+web(backendServer(t, "one")))
	r.write(dns + web("app.test:80"))
	signalSelf(t, unix.SIGHUP)
	asked()
	signalSelf(t, unix.SIGTERM)
	wantEnd(t, ended)
}

// SIGHUPs that come while a reload has to wait are one reload.
func TestSignalsShareReload(t *testing.T) {
	r, _ := runRig(t, web(backendServer(t, "one")))
	seen := make(chan os.Signal, 1)
	signal.Notify(seen, unix.SIGHUP)
	defer signal.Stop(seen)
	<-r.turn
	for range 10 {
		signalSelf(t, unix.SIGHUP)
		select { // else the kernel or the runtime may make one of two
		case <-seen:
		case <-time.After(patience):
			t.Fatal("the signal does not come")
		}
	}
	// Signals are served in the order in which they come: where this one has been, the
	// others have too, and none is left for after the reload.
	eventually(t, "that all ten were seen", func() bool {
		signalSelf(t, unix.SIGUSR1)
		return strings.Contains(r.log.String(), "access log reopened")
	})
	r.turn <- struct{}{}
	eventually(t, "the reload", func() bool { return r.Running().Version > 1 })
	signalSelf(t, unix.SIGHUP)
	eventually(t, "another reload", func() bool { return r.Running().Version > 2 })
	if got := r.Running().Version; got != 3 {
		t.Errorf("got configuration %d after ten signals and one, want 3", got)
	}
}
