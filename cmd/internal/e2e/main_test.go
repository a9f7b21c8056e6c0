package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
)

// childEnv makes the test binary run one of its own servers instead of tests: a
// backend that can be stopped, continued and killed as a process.
const childEnv = "WEIR_E2E_CHILD"

// long is set by make torture: the long forms of tests that have one.
var long = os.Getenv("WEIR_E2E_LONG") != ""

// raced is set by make race-e2e: the binary is built with the race detector. Memory is
// not measured then.
var raced = os.Getenv("WEIR_E2E_RACE") != ""

// shared is what all tests of a run use: built or started at its first use, removed
// after the last test.
var shared struct {
	dir      string
	cleanups []func()
}

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		runChild()
		return
	}
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	addToolPaths()
	dir, err := os.MkdirTemp("", "weir-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	// PostgreSQL runs as a user of its own and must reach its files below.
	if err := os.Chmod(dir, 0o755); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	shared.dir = dir
	defer os.RemoveAll(dir)
	code := m.Run()
	for _, cleanup := range slices.Backward(shared.cleanups) {
		cleanup()
	}
	return code
}

// addToolPaths finds the programs that Debian keeps outside of PATH.
func addToolPaths() {
	path := os.Getenv("PATH") + ":/usr/sbin:/sbin"
	dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	for _, dir := range dirs {
		path += ":" + dir
	}
	os.Setenv("PATH", path)
}

var buildWeir = sync.OnceValues(func() (string, error) {
	if bin := os.Getenv(netnsEnv); bin != "" {
		return bin, nil
	}
	bin := filepath.Join(shared.dir, "weir")
	args := []string{"build", "-o", bin}
	if raced {
		args = append(args, "-race")
	}
	cmd := exec.Command("go", append(args, "weir/cmd/weir")...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot build weir: %w\n%s", err, out)
	}
	return bin, nil
})

// weirBinary builds Weir once per run and returns the path of the program.
func weirBinary(t testing.TB) string {
	t.Helper()
	bin, err := buildWeir()
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

// dieWithUs ends a child when the test process dies without running its cleanups.
func dieWithUs() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// openFDs counts the descriptors of a process.
func openFDs(t testing.TB, pid int) int {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
