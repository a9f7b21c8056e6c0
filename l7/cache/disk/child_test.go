package disk

import (
	"bufio"
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// kills is how often TestRow51_Killed kills a process.
var kills = flag.Int("disk.kills", 20, "how often a process is killed that writes to the disk tier")

// childEnv names the directory that a child process of the tests works in.
const childEnv = "WEIR_DISK_CHILD"

// childSize makes room for about a third of what a child may store, so that it evicts.
const childSize = MinSize

// child stores, reads, purges and refreshes objects until it is killed. Each writer has
// names of its own and counts their versions up. What it says on standard output, it
// has done before: "purged NAME VERSION" is that no version up to it may be seen again.
func child(dir string) {
	tier, err := Open(Options{Dir: dir, Size: childSize, FS: quick{}})
	if err != nil {
		fmt.Println("error", err)
		return
	}
	for !tier.Ready() {
		time.Sleep(time.Millisecond)
	}
	fmt.Println("ready")
	var wg sync.WaitGroup
	var out sync.Mutex
	base := uint64(time.Now().UnixNano()) // later than all versions of children before
	for w := range 4 {
		wg.Go(func() {
			for version := base; ; version++ {
				name := fmt.Sprint("w", w, "-", rand.IntN(40))
				childStep(tier, name, version, func(what string) {
					out.Lock()
					defer out.Unlock()
					fmt.Println(what)
				})
			}
		})
	}
	wg.Wait()
}

func childStep(tier *Tier, name string, version uint64, say func(string)) {
	key := []byte(name)
	switch n := rand.IntN(20); {
	case n == 0:
		if tier.Purge(Ban{Label: []byte("k" + name)}) == nil {
			say(fmt.Sprint("purged ", name, " ", version))
		}
	case n == 1:
		tier.Drop(key)
		say(fmt.Sprint("purged ", name, " ", version))
	case n < 5:
		if o, ok := tier.Get(key); ok {
			meta := append([]byte(nil), o.Meta...)
			o.Close()
			_ = tier.Refresh(key, meta, fmt.Appendf(nil, "head of %s, refreshed at %d", name, version), 0)
		}
	default:
		size := rand.IntN(2000)
		if n > 13 {
			size = rand.IntN(400_000)
		}
		meta := binary.LittleEndian.AppendUint64(nil, version)
		meta = binary.LittleEndian.AppendUint32(meta, uint32(size))
		f, err := tier.Begin(Item{
			Key: key, Labels: [][]byte{[]byte("k" + name)}, Meta: meta, Head: []byte("head of " + name), Length: int64(size),
		})
		if err != nil {
			return
		}
		if _, err := f.Write(body(version, size)); err != nil || n == 19 {
			f.Abort()
			return
		}
		_ = f.Commit()
	}
}

// TestRow51_Killed kills a process with SIGKILL at random points while it fills, writes,
// purges and evicts, again and again on one directory: afterwards every object that is
// there has its own body and head, and none is there that was purged.
func TestRow51_Killed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	purged := make(map[string]uint64)
	var seen [2]int // large and small ones
	unsealed := 0
	for range *kills {
		killOne(t, dir, purged)
		if logs, _ := filepath.Glob(filepath.Join(dir, segsName, "*"+suffixLog)); len(logs) > 0 {
			unsealed++
		}
		r := open(t, Options{Dir: dir, Size: childSize})
		checkKilled(r, purged, &seen)
		if used := usage(t, dir); used > childSize {
			t.Errorf("the directory holds %d bytes, the budget is %d", used, childSize)
		}
		if out := r.log.String(); strings.Contains(out, "journal") {
			t.Errorf("logged: %s", out)
		}
		r.Close()
	}
	t.Logf("%d large and %d small objects were read after %d kills, %d of which left a segment open",
		seen[0], seen[1], *kills, unsealed)
	if seen[0] < *kills*5 || seen[1] < *kills*5 || unsealed == 0 {
		t.Errorf("the test proves little")
	}
}

// killOne runs a child for a moment and takes note of what it says it has purged.
func killOne(t *testing.T, dir string, purged map[string]uint64) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childEnv+"="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() })
	defer timer.Stop()
	lines, ready := bufio.NewScanner(out), false
	for lines.Scan() {
		var name string
		var version uint64
		switch line := lines.Text(); {
		case line == "ready":
			ready = true
			timer.Reset(time.Duration(rand.IntN(150_000)) * time.Microsecond)
		case strings.HasPrefix(line, "purged "):
			// The last line may be cut; then it is a shorter number, which is a weaker claim.
			if _, err := fmt.Sscanf(line, "purged %s %d", &name, &version); err == nil {
				purged[name] = max(purged[name], version)
			}
		default:
			t.Errorf("the child says %q", line)
		}
	}
	if err := cmd.Wait(); err == nil || !ready {
		t.Fatalf("the child ended by itself: %v, ready: %v", err, ready)
	}
}

func checkKilled(r *rig, purged map[string]uint64, seen *[2]int) {
	r.t.Helper()
	for w := range 4 {
		for i := range 40 {
			name := fmt.Sprint("w", w, "-", i)
			o, ok := r.Get([]byte(name))
			if !ok {
				continue
			}
			version, size := binary.LittleEndian.Uint64(o.Meta), int(binary.LittleEndian.Uint32(o.Meta[8:]))
			got := make([]byte, o.Length)
			_, err := o.ReadAt(got, 0)
			if size > blockSize {
				seen[0]++
			} else {
				seen[1]++
			}
			switch {
			case err != nil:
				// Only what was cut by the kill may be cut, and that is never renamed or indexed.
				r.t.Errorf("%q, version %d: %v", name, version, err)
			case int(o.Length) != size || string(got) != string(body(version, size)):
				r.t.Errorf("%q, version %d: a body of %d bytes that is another's, want %d", name, version, o.Length, size)
			case version <= purged[name]:
				r.t.Errorf("%q: version %d is there, %d was purged", name, version, purged[name])
			case !strings.HasPrefix(string(o.Head), "head of "+name):
				r.t.Errorf("%q: head %q", name, o.Head)
			}
			o.Close()
		}
	}
}

// TestTwoProcesses: the second one misses as long as the first one lives, and takes over
// what it left, with the purges that came meanwhile.
func TestTwoProcesses(t *testing.T) {
	first := open(t, Options{})
	for _, name := range []string{"a", "b", "c"} {
		first.put(item(name), body(1, 100))
	}
	second, err := Open(first.o)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if err := second.Purge(Ban{Label: []byte("ka")}); err != nil {
		t.Fatal(err)
	}
	if _, ok := second.Get([]byte("b")); ok || second.Has([]byte("b")) {
		t.Error("both have the directory")
	}
	if _, err := second.Begin(item("b")); err != ErrNotReady {
		t.Errorf("begin: %v", err)
	}
	if s := second.Stats(); !s.Waiting || s.Ready {
		t.Errorf("stats %+v", s)
	}
	eventually(t, "the log says it", func() bool {
		return strings.Contains(first.log.String(), "another process has the cache directory")
	})
	first.put(item("d"), body(1, 100_000))
	if err := first.Purge(Ban{Label: []byte("kb")}); err != nil {
		t.Fatal(err)
	}
	reading, ok := first.Get([]byte("d"))
	if !ok {
		t.Fatal("d is not there")
	}
	fill, err := first.Begin(item("e"))
	if err != nil {
		t.Fatal(err)
	}
	fill.Write(body(1, 100_000))
	first.Close()
	eventually(t, "the second one takes over", second.Ready)
	if _, err := fill.Write(body(1, 100_000)); err != ErrClosed {
		t.Errorf("a fill of the first one: %v", err)
	}
	if err := fill.Commit(); err != ErrClosed {
		t.Errorf("a fill of the first one: %v", err)
	}
	if !reading.Verify() {
		t.Error("what was open cannot be read to its end")
	}
	reading.Close()
	if err := first.Purge(Ban{All: true}); err != ErrClosed {
		t.Errorf("a purge by the first one: %v", err)
	}
	r := &rig{Tier: second, t: t}
	r.want("a", nil)
	r.want("b", nil)
	r.want("c", body(1, 100))
	r.want("d", body(1, 100_000))
	r.want("e", nil)
}

// TestManyPurgesWhileWaiting: then everything goes.
func TestManyPurgesWhileWaiting(t *testing.T) {
	first := open(t, Options{})
	first.put(item("a"), body(1, 100))
	second, err := Open(first.o)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	for i := range mostPending + 2 {
		if err := second.Purge(Ban{Label: fmt.Append(nil, i)}); err != nil {
			t.Fatal(err)
		}
	}
	first.Close()
	eventually(t, "the second one takes over", second.Ready)
	(&rig{Tier: second, t: t}).want("a", nil)
}
