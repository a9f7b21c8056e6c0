package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestRow53_ReloadsUnderLoad: reloads at ten per second, every tenth with a broken
// file, while keep-alive and new connections carry requests. make torture does 1,000.
func TestRow53_ReloadsUnderLoad(t *testing.T) {
	rounds := 40
	if long {
		rounds = 1000
	}
	a, b := startOrigin(t, "a"), startOrigin(t, "b")
	addr, raw := freeAddr(t), freeAddr(t)
	w := startWeir(t, pool("app", a.addr, b.addr)+web(addr, "app")+tcp(raw, "app"))
	whole := readFile(t, w.file)
	var loads []*load
	for _, at := range []string{addr, raw} {
		for _, fresh := range []bool{false, true} {
			loads = append(loads, startLoad(t, loadOptions{
				url: "http://" + at + "/bytes/3000", size: 3000, workers: 2, fresh: fresh, pause: 3 * time.Millisecond,
			}))
		}
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for i := range rounds {
		<-tick.C
		text, line := whole, 0
		switch {
		case i%10 == 9:
			text = whole + "\nnonsense = \n"
			line = strings.Count(whole, "\n") + 2
		case i%2 == 0: // another set of servers, another route table
			text = strings.Replace(whole, fmt.Sprintf("servers = [%q, %q]", a.addr, b.addr),
				fmt.Sprintf("servers = [%q]", b.addr), 1)
		}
		w.write(t, text)
		code, answer := w.reload(t)
		if line == 0 && code != http.StatusOK {
			t.Fatalf("reload %d: %d %s", i, code, answer)
		}
		if line > 0 && (code == http.StatusOK || !namesLine(answer, line)) {
			t.Fatalf("reload %d of a broken file: %d, want a refusal that names line %d: %s", i, code, line, answer)
		}
	}
	for _, l := range loads {
		l.report(t, 0)
	}
}

// namesLine tells whether an answer points at this line, as text or as JSON.
func namesLine(answer string, line int) bool {
	squeezed := strings.ReplaceAll(answer, " ", "")
	return strings.Contains(answer, fmt.Sprintf("weir.toml:%d:", line)) ||
		strings.Contains(squeezed, fmt.Sprintf(`"line":%d,`, line)) ||
		strings.Contains(squeezed, fmt.Sprintf(`"Line":%d,`, line))
}

// TestReloadKeepsConnections: sessions and keep-alive connections outlive a reload, also
// one that removes their pool; a removed listener stops accepting, a new one starts.
func TestReloadKeepsConnections(t *testing.T) {
	a, b := startOrigin(t, "a"), startOrigin(t, "b")
	web1, web2, raw := freeAddr(t), freeAddr(t), freeAddr(t)
	w := startWeir(t, pool("one", a.addr)+pool("two", b.addr)+web(web1, "one")+tcp(raw, "one"))
	whole := readFile(t, w.file)
	kept, session := dial(t, web1), dial(t, raw)
	kept.wantName(t, "a")
	session.wantName(t, "a")

	w.write(t, strings.ReplaceAll(whole, `pool = "one"`, `pool = "two"`))
	if code, text := w.reload(t); code != http.StatusOK {
		t.Fatalf("reload: %d %s", code, text)
	}
	kept.wantName(t, "b")
	session.wantName(t, "a") // a live session keeps the route it started with
	dial(t, raw).wantName(t, "b")

	w.write(t, strings.Replace(whole, web1, web2, 1))
	w.cmd.Process.Signal(syscall.SIGHUP)
	waitFor(t, patience, "the new address serves", func() bool { return accepts(web2) })
	waitFor(t, patience, "the old address is closed", func() bool { return !accepts(web1) })
	dial(t, web2).wantName(t, "a")
	session.wantName(t, "a")
}

// TestReloadRefusesTakenAddress: an address that somebody else holds is an error that
// names it, and everything goes on as it was.
func TestReloadRefusesTakenAddress(t *testing.T) {
	o, addr := startOrigin(t, "a"), freeAddr(t)
	w := startWeir(t, pool("app", o.addr)+web(addr, "app"))
	w.write(t, readFile(t, w.file)+tcp(o.addr, "app"))
	code, text := w.reload(t)
	if code == http.StatusOK || !strings.Contains(text, o.addr) {
		t.Errorf("reload onto a taken address: %d %s", code, text)
	}
	newClient(t).wantBody("http://"+addr+"/name", "a")
}

// TestStartRefusesTakenAddress: no traffic is taken before every address is bound.
func TestStartRefusesTakenAddress(t *testing.T) {
	o := startOrigin(t, "a")
	var opts options
	w := prepareWeir(t, &opts, pool("app", o.addr)+web(o.addr, "app"))
	code, stdout, stderr := run(t, "run", "-c", w.file)
	if code != 1 || !strings.Contains(stdout+stderr, o.addr) {
		t.Errorf("exit code %d, want 1 and the address %s:\n%s%s", code, o.addr, stdout, stderr)
	}
}

// TestReloadCommand: weir reload prints what is wrong and exits 1 when refused.
func TestReloadCommand(t *testing.T) {
	o, addr := startOrigin(t, "a"), freeAddr(t)
	w := startWeir(t, pool("app", o.addr)+web(addr, "app"))
	if code, out, errs := run(t, "reload", "-c", w.file); code != 0 {
		t.Errorf("weir reload: exit code %d\n%s%s", code, out, errs)
	}
	w.write(t, strings.Replace(readFile(t, w.file), "[[l7.route]]", "max_bodi = \"1MiB\"\n[[l7.route]]", 1))
	code, out, errs := run(t, "reload", "-c", w.file)
	if code != 1 || !strings.Contains(out+errs, "max_bodi") || !strings.Contains(out+errs, "max_body") {
		t.Errorf("weir reload of a bad file: exit code %d\n%s%s", code, out, errs)
	}
	newClient(t).wantBody("http://"+addr+"/name", "a")
}

// TestWatchReloads: with --watch a saved file is taken up by itself.
func TestWatchReloads(t *testing.T) {
	t.Parallel()
	a, b, addr := startOrigin(t, "a"), startOrigin(t, "b"), freeAddr(t)
	w := startWeirWith(t, options{flags: []string{"--watch"}}, pool("app", a.addr)+web(addr, "app"))
	c := newClient(t)
	c.wantBody("http://"+addr+"/name", "a")
	w.write(t, strings.ReplaceAll(readFile(t, w.file), a.addr, b.addr))
	waitFor(t, patience, "the change is taken up", func() bool {
		body, err := c.get("http://" + addr + "/name")
		return err == nil && body == "b"
	})
}

// TestReopensAccessLog: SIGUSR1 after a rename starts a new file.
func TestReopensAccessLog(t *testing.T) {
	t.Parallel()
	o, addr := startOrigin(t, "a"), freeAddr(t)
	dir := t.TempDir()
	file := dir + "/access.log"
	w := startWeirWith(t, options{access: file}, pool("app", o.addr)+web(addr, "app"))
	c := newClient(t)
	c.wantBody("http://"+addr+"/name/first", "a")
	has := func(text string) func() bool {
		return func() bool { return strings.Contains(readFile(t, file), text) }
	}
	waitFor(t, patience, "the first record", has("/name/first"))
	rename(t, file, file+".1")
	w.cmd.Process.Signal(syscall.SIGUSR1)
	waitFor(t, patience, "the file is there again", func() bool { return exists(file) })
	c.wantBody("http://"+addr+"/name/second", "a")
	waitFor(t, patience, "the second record", has("/name/second"))
	if strings.Contains(readFile(t, file+".1"), "/name/second") {
		t.Error("the old file was written on")
	}
}
