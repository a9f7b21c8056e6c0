package disk

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// files returns the files of objects in a directory, with what is in them.
func files(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	all := make(map[string][]byte)
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == lockName {
			return err
		}
		all[name], err = os.ReadFile(name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// restore puts a directory back to what it was.
func restore(t *testing.T, dir string, all map[string][]byte) {
	t.Helper()
	for name := range files(t, dir) {
		if all[name] == nil {
			os.Remove(name)
		}
	}
	for name, b := range all {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRow51_Corrupt changes, cuts and swaps every region of every file: what is served
// afterwards is right, whatever is missing.
func TestRow51_Corrupt(t *testing.T) {
	r := open(t, Options{Size: MinSize})
	want := map[string][]byte{
		"s1": body(1, 1000), "s2": body(2, 3000), "s3": body(3, 0), "l1": body(4, 70_000), "l2": body(5, 70_000),
	}
	for _, name := range []string{"s1", "s2", "l1", "s3", "l2"} {
		r.put(item(name), want[name])
	}
	r.put(item("gone"), body(6, 500))
	if err := r.Purge(Ban{Label: []byte("kgone")}); err != nil {
		t.Fatal(err)
	}
	r.Close()
	whole := files(t, r.dir)
	lost := 0
	try := func(what, file string, b []byte) {
		t.Helper()
		restore(t, r.dir, whole)
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		tier, err := Open(r.o)
		if err != nil {
			t.Fatal(err)
		}
		r.Tier = tier
		eventually(t, "ready", r.Ready)
		for name, b := range want {
			o, ok := r.Get([]byte(name))
			if !ok {
				lost++
				continue
			}
			got := make([]byte, o.Length)
			if _, err := o.ReadAt(got, 0); err == nil && !bytes.Equal(got, b) || string(o.Meta) != "meta of "+name {
				t.Errorf("%s of %s: %q has a wrong body of %d bytes, or meta %q", what, file, name, len(got), o.Meta)
			}
			o.Close()
		}
		if _, ok := r.Get([]byte("gone")); ok {
			t.Errorf("%s of %s: what was purged is there", what, file)
		}
		r.put(item("new"), want["l1"])
		r.want("new", want["l1"])
		r.Close()
	}
	tries := 0
	for file, b := range whole {
		for _, at := range places(file, len(b)) {
			tries++
			changed := slices.Clone(b)
			changed[at] ^= 0x40
			try("a bit", file, changed)
			if at%16 == 0 {
				try("the end", file, b[:at])
			}
		}
		try("zeros", file, make([]byte, len(b)))
		try("more", file, append(slices.Clone(b), body(7, 5000)...))
		for other, b2 := range whole {
			if other != file && filepath.Dir(filepath.Dir(other)) == filepath.Dir(filepath.Dir(file)) {
				try("swap", file, b2)
			}
		}
	}
	restore(t, r.dir, whole)
	r.reopen()
	for name, b := range want {
		r.want(name, b)
	}
	t.Logf("%d bytes were changed, %d objects lost by it", tries, lost)
	if lost < tries/2 {
		t.Error("the test proves little")
	}
}

// places are the bytes of a file that are changed: all regions, not all of their bytes.
func places(file string, n int) []int {
	step := 37
	if strings.Contains(file, objectsName) {
		step = 4801
	}
	if raceEnabled {
		step *= 8
	}
	var at []int
	for i := 0; i < n; i += step {
		at = append(at, i)
	}
	for i := 0; i < min(n, headerSize) && !raceEnabled; i += 3 {
		at = append(at, i)
	}
	return append(at, n-1, max(0, n-footerTail), max(0, n-40))
}

// TestForeignFiles: what is not ours stays, what was left unfinished goes.
func TestForeignFiles(t *testing.T) {
	r := open(t, Options{})
	r.put(item("s"), body(1, 10))
	r.put(item("l"), body(1, 100_000))
	r.Close()
	foreign := []string{
		"notes.txt", "objects/readme", "objects/00/x", "objects/zz/0", "segments/x.seg", "segments/0000000000000000.bak",
		"tmp/mine", "objects/00/0000000000000000-0000000000000001-+1", "segments/000000000000000g.seg",
	}
	ours := []string{
		"tmp/0000010000000001", "objects/00/0000000000000000-0000070000000001-5", "segments/0000070000000001.seg",
		"segments/0000000000000001.log", "segments/0000000000000002.seg",
	}
	for _, name := range append(foreign, ours...) {
		name = filepath.Join(r.dir, name)
		os.MkdirAll(filepath.Dir(name), 0o700)
		if err := os.WriteFile(name, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// A link must not lead out of the directory.
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(r.dir, "segments/0000000000000003.log")); err != nil {
		t.Fatal(err)
	}
	r.reopen()
	r.want("s", body(1, 10))
	r.want("l", body(1, 100_000))
	if err := r.Purge(Ban{All: true}); err != nil {
		t.Fatal(err)
	}
	r.reopen()
	if b, _ := os.ReadFile(outside); string(b) != "mine" {
		t.Errorf("a link was followed: %q", b)
	}
	for _, name := range foreign {
		if _, err := os.Stat(filepath.Join(r.dir, name)); err != nil {
			t.Error(err)
		}
	}
	for _, name := range ours {
		if _, err := os.Stat(filepath.Join(r.dir, name)); err == nil {
			t.Errorf("%s is still there", name)
		}
	}
}
