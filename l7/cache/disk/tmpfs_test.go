package disk

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// tmpfsEnv says that a test binary runs in a mount namespace of its own.
const tmpfsEnv = "WEIR_DISK_TMPFS"

// inMountNamespace runs the rest of the calling test in a mount namespace of its own: in
// another process, for which this one waits. The caller goes on only where it returns
// true. Whoever is not root is root in a user namespace as well.
func inMountNamespace(t *testing.T) bool {
	t.Helper()
	if os.Getenv(tmpfsEnv) != "" {
		return true
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, "-test.run=^"+t.Name()+"$", "-test.v", "-test.count=1")
	cmd.Env = append(os.Environ(), tmpfsEnv+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Cloneflags: unix.CLONE_NEWNS}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("in a mount namespace: %v\n%s", err, out)
	}
	return false
}

// TestRow51_FullFileSystem: a file system that is smaller than the budget fills up for
// real. Objects go on being stored, old ones make room, and none is ever wrong.
func TestRow51_FullFileSystem(t *testing.T) {
	if !inMountNamespace(t) {
		return
	}
	dir := t.TempDir()
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=24m"); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	r := open(t, Options{Dir: filepath.Join(dir, "cache"), Size: 64 << 20})
	stored := 0
	// A minute would let the budget grow into the wall again and again; one wall will do.
	eventually(t, "objects are stored after the wall was hit", func() bool {
		for i := range 50 {
			n := 1000
			if i%5 == 0 {
				n = 300_000
			}
			if r.store(item(fmt.Sprint(stored%400)), body(uint64(stored%400), n)) == nil {
				stored++
			}
		}
		s := r.Stats()
		return s.Errors[NoSpace] > 0 && s.Limit < r.o.Size && s.Stored > 200 && s.Evicted > 0
	})
	check := func() {
		t.Helper()
		seen := 0
		for i := range 400 {
			for _, n := range []int{1000, 300_000} {
				o, ok := r.Get([]byte(fmt.Sprint(i)))
				if !ok {
					continue
				}
				if int(o.Length) == n {
					r.want(fmt.Sprint(i), body(uint64(i), n))
					seen++
				}
				o.Close()
			}
		}
		if seen < 20 {
			t.Errorf("%d objects are there: %+v", seen, r.Stats())
		}
	}
	check()
	r.reopen()
	check()
	// Full to the last byte by another: what is there is still served.
	f, err := os.Create(filepath.Join(dir, "other"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for {
		if _, err := f.Write(make([]byte, 4096)); err != nil {
			break
		}
	}
	check()
	if err := r.Purge(Ban{Label: []byte("k0")}); err != nil {
		t.Errorf("purge: %v", err)
	}
	r.want("0", nil)
	r.Close()
	tier, err := Open(r.o)
	if err != nil {
		t.Fatal(err)
	}
	r.Tier = tier
	eventually(t, "ready on a full file system", r.Ready)
	r.want("0", nil)
}
