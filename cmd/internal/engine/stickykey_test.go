package engine

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weir/conf"
)

// The key is made once, private, and found again; what is no private file is refused.
func TestStickyKey(t *testing.T) {
	c := &conf.Config{Process: conf.Process{StateDir: filepath.Join(t.TempDir(), "state")}}
	if bytes.Equal(knownStickyKey(c), knownStickyKey(c)) {
		t.Error("a key that is not there is known")
	}
	if _, err := os.Stat(c.Process.StateDir); err == nil {
		t.Error("to look for a key made the directory")
	}
	key, err := stickyKey(c)
	if err != nil || len(key) != 64 {
		t.Fatalf("got a key of %d characters, %v", len(key), err)
	}
	if again, err := stickyKey(c); !bytes.Equal(again, key) || err != nil {
		t.Errorf("the next start has another key, %v", err)
	}
	if !bytes.Equal(knownStickyKey(c), key) {
		t.Error("the key that is there is not known")
	}
	file := stickyFile(c)
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, %v", info.Mode(), err)
	}
	f := func(want string, change func() error) {
		t.Helper()
		if err := change(); err != nil {
			t.Fatal(err)
		}
		if _, err := stickyKey(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	f("want a file with mode 0600", func() error { return os.Chmod(file, 0o640) })
	f("8 characters, want at least 16", func() error {
		return errors.Join(os.WriteFile(file, []byte("tooshort"), 0o600), os.Chmod(file, 0o600))
	})
}
