package e2e

import (
	"bytes"
	"context"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// These do not run beside other tests: how others are served is what they are about.

// slowAttack is one mode of slowhttptest against Weir, and what becomes of it.
type slowAttack struct {
	listener string // lines for [[l7]]
	path     string
	args     []string
	reason   string // why Weir ends its connections
	reaches  bool   // whether the backend gets the requests
}

// TestSlowhttptestHeaders: slowloris. Heads that trickle in reach no backend and end
// together at header_timeout.
func TestSlowhttptestHeaders(t *testing.T) {
	testSlowAttack(t, slowAttack{
		listener: `header_timeout = "1s"`, path: "/name", reason: "head_timeout",
		args: []string{"-H", "-i", "1", "-x", "24"},
	})
}

// TestSlowhttptestBody: bodies that trickle in below the minimum rate.
func TestSlowhttptestBody(t *testing.T) {
	testSlowAttack(t, slowAttack{
		listener: "body_grace = \"1s\"\nbody_min_rate = \"1KiB\"", path: "/sum", reason: "body_timeout",
		args: []string{"-B", "-i", "1", "-s", "8192", "-x", "10"}, reaches: true,
	})
}

// TestSlowhttptestRead: clients that hardly read what they asked for.
func TestSlowhttptestRead(t *testing.T) {
	testSlowAttack(t, slowAttack{
		listener: "body_grace = \"1s\"\nbody_min_rate = \"64KiB\"", path: "/bytes/8388608", reason: "slow_reader",
		args: []string{"-X", "-w", "512", "-y", "1024", "-n", "1", "-z", "32"}, reaches: true,
	})
}

// testSlowAttack sends 200 attackers at once, while others ask. Every one of the others
// is served, in bounded time; Weir ends the attackers' connections before they would.
func testSlowAttack(t *testing.T, a slowAttack) {
	t.Helper()
	const attackers = 200
	o, addr := startOrigin(t, "a"), freeAddr(t)
	w := startWeir(t, pool("app", o.addr)+strings.Replace(web(addr, "app"), "[[l7.route]]",
		a.listener+"\n[[l7.route]]", 1))
	l := startLoad(t, loadOptions{
		url: "http://" + addr + "/bytes/20000", size: 20000, workers: 4, pause: 5 * time.Millisecond,
	})
	waitFor(t, patience, "load", func() bool { return l.answered() > 20 })
	before := l.answered()
	stop := startSlowhttptest(t, append([]string{
		"-c", strconv.Itoa(attackers), "-r", strconv.Itoa(attackers), "-u", "http://" + addr + a.path,
	}, a.args...))
	ended := `weir_l7_errors_total{listener="web",side="client",reason="` + a.reason + `"}`
	waitFor(t, 2*patience, "the attackers' connections are ended", func() bool {
		return w.metric(t, ended) >= attackers
	})
	during := l.answered() - before
	stop()
	l.report(t, 0)
	if during < 10 || l.slowest > patience/2 {
		t.Errorf("%d requests of others were answered meanwhile, the slowest took %v", during, l.slowest)
	}
	// slowhttptest asks itself, once in a second, whether the server still answers.
	if n := o.requests.Load() - int64(l.answered()); !a.reaches && n > attackers/4 {
		t.Errorf("%d requests of the attack reached the backend", n)
	}
}

// startSlowhttptest runs it until stop is called, or the test ends.
func startSlowhttptest(t *testing.T, args []string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, "slowhttptest", append([]string{"-l", "600", "-p", "20", "-v", "1"}, args...)...)
	cmd.SysProcAttr = dieWithUs()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		cancel()
		cmd.Wait()
		if t.Failed() {
			t.Logf("slowhttptest:\n%s", out.String())
		}
	})
	t.Cleanup(stop)
	return stop
}
