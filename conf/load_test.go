package conf

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// A file of something else has a problem on each line; few of them are shown.
func TestParseOfSomethingElse(t *testing.T) {
	var b strings.Builder
	b.WriteString("pol = 1\n[[l5]]\n")
	for i := range 50_000 {
		fmt.Fprintf(&b, "[key%d]\n", i)
	}
	_, err := Parse("x", []byte(b.String()))
	var ps Problems
	if !errors.As(err, &ps) || len(ps) != maxProblems+1 {
		t.Fatalf("got %d problems", len(ps))
	}
	if ps[0].Suggestion != "pool" {
		t.Errorf("no suggestion for the first: %v", ps[0])
	}
}

// What is not a file must neither block a reload for ever nor fill the memory.
func TestLoadOfNoFile(t *testing.T) {
	f := func(path, want string) {
		t.Helper()
		_, err := Load(path)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", path, err, want)
		}
	}
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	f(pipe, "it is a pipe and nothing came out of it")
	f("/dev/zero", "larger than the allowed 32MiB")
	f(t.TempDir(), "it is a directory")

	r, w, err := os.Pipe() // as a shell's <(command)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	w.WriteString("[pool.a]\nservers = [\"10.0.0.1:1\"]\n")
	w.Close()
	c, err := Load("/proc/self/fd/" + strconv.Itoa(int(r.Fd())))
	if err != nil || len(c.Pools) != 1 {
		t.Errorf("a pipe with a configuration: %v", err)
	}
}
