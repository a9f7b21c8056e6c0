package main

import (
	"bytes"
	"errors"
	"flag"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"weir/bench/peers"
)

var update = flag.Bool("update", false, "write docs/cli.md")

// TestMain lets this binary be the weir of the scripts.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"weir": main})
}

// TestScripts runs testdata/*.txtar: each is a topic of the command line.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"code": code, "retry": retry, "subst": subst, "serves": serves,
			"sigterm": sendSignal(syscall.SIGTERM), "sighup": sendSignal(syscall.SIGHUP),
		},
		Setup: func(env *testscript.Env) error {
			// A port that is taken, as $TAKEN, and one that is free now, as $FREE. That is none
			// of those for outgoing connections: such a one would be taken soon, if not by
			// the very connection that looks whether somebody serves there.
			taken, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return err
			}
			env.Defer(func() { taken.Close() })
			env.Setenv("TAKEN", taken.Addr().String())
			free, err := peers.FreeAddress()
			if err != nil {
				return err
			}
			_, port, err := net.SplitHostPort(free)
			if err != nil {
				return err
			}
			env.Setenv("FREE", free)
			env.Setenv("FREEPORT", port)
			env.Setenv("XDG_RUNTIME_DIR", filepath.Join(env.WorkDir, "run"))
			return nil
		},
	})
}

// patience is how long a script waits for something that must come.
const patience = 30 * time.Second

// code N command... runs a command that must end with exit code N.
func code(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("exit code %d, want %s", got, args[0])
	}
}

// retry command... runs a command until it works.
func retry(ts *testscript.TestScript, _ bool, args []string) {
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		err := ts.Exec(args[0], args[1:]...)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("still fails: %v", err)
		}
	}
}

// serves ADDR waits until somebody accepts connections there.
func serves(ts *testscript.TestScript, _ bool, args []string) {
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		c, err := net.Dial("tcp", args[0])
		if err == nil {
			ts.Check(c.Close())
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("nobody serves: %v", err)
		}
	}
}

// subst FILE replaces $VARIABLES in a file.
func subst(ts *testscript.TestScript, _ bool, args []string) {
	file := ts.MkAbs(args[0])
	ts.Check(os.WriteFile(file, []byte(os.Expand(ts.ReadFile(args[0]), ts.Getenv)), 0o600))
}

// sendSignal sends s to what the script started in the background.
func sendSignal(s os.Signal) func(ts *testscript.TestScript, neg bool, args []string) {
	return func(ts *testscript.TestScript, _ bool, _ []string) {
		for _, c := range ts.BackgroundCmds() {
			ts.Check(c.Process.Signal(s))
		}
	}
}

// TestCLIPage fails when docs/cli.md is not what `weir docs cli` prints.
func TestCLIPage(t *testing.T) {
	page := filepath.Join("..", "..", "docs", "cli.md")
	if *update {
		if err := os.WriteFile(page, cliReference(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, cliReference()) {
		t.Fatal("docs/cli.md is stale; run go test ./cmd/weir -update")
	}
}
