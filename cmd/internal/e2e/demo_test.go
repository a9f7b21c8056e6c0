package e2e

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestDemoCurl starts the demo and types what it says one can try.
func TestDemoCurl(t *testing.T) {
	log := &logBuffer{}
	cmd := exec.Command(weirBinary(t), "demo")
	cmd.Dir = t.TempDir()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = dieWithUs()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		cmd.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
	})
	try := regexp.MustCompile(`(?m)^\s*(?:\$ )?(curl .*|printf .*|echo .*)$`)
	var commands []string
	waitFor(t, 3*patience, "the demo says what to try", func() bool {
		commands = nil
		for _, m := range try.FindAllStringSubmatch(log.String(), -1) {
			commands = append(commands, m[1])
		}
		select {
		case <-ended:
			t.Fatalf("the demo ended: %v\n%s", cmd.ProcessState, log)
		case <-time.After(200 * time.Millisecond):
		}
		return len(commands) >= 3
	})
	for _, c := range commands {
		sh := exec.Command("timeout", "20", "bash", "-c", c)
		sh.Dir, sh.Env = cmd.Dir, append(os.Environ(), "no_proxy=*")
		if out, err := sh.CombinedOutput(); err != nil || len(strings.TrimSpace(string(out))) == 0 {
			t.Errorf("$ %s\n%v\n%s", c, err, out)
		}
	}
	cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-ended:
	case <-time.After(2 * patience):
		t.Fatal("the demo does not end")
	}
	if code := cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d\n%s", code, log)
	}
}
