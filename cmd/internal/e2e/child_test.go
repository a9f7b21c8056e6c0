package e2e

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// child is an origin in a process of its own, which can be stopped and killed.
type child struct {
	name, addr string
	cmd        *exec.Cmd
}

// startChild runs an origin as a process, on addr, or a free port where addr is "".
// It ends with the test.
func startChild(t testing.TB, name, addr string) *child {
	t.Helper()
	if addr == "" {
		addr = freeAddr(t)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := &child{name: name, addr: addr, cmd: exec.Command(exe)}
	c.cmd.Env = append(os.Environ(), childEnv+"="+name+" "+addr)
	c.cmd.SysProcAttr = dieWithUs()
	c.cmd.Stderr = os.Stderr
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || strings.TrimSpace(line) != "ready" {
		t.Fatalf("the child said %q: %v", line, err)
	}
	return c
}

// signal sends SIGSTOP, SIGCONT and the like.
func (c *child) signal(t testing.TB, s syscall.Signal) {
	t.Helper()
	if err := c.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// kill is kill -9. It may be called twice.
func (c *child) kill() {
	c.cmd.Process.Kill()
	c.cmd.Wait()
}

// runChild is the main function of a child.
func runChild() {
	name, addr, _ := strings.Cut(os.Getenv(childEnv), " ")
	l, err := net.Listen("tcp", addr)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	newOrigin(name, l)
	fmt.Println("ready")
	select {}
}
