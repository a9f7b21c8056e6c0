package engine

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"weir/cmd/internal/admin"
	"weir/conf"
)

// leastStickyKey is the shortest key taken from the key file, in characters.
const leastStickyKey = 16

// stickyFile is where the key is that signs sticky cookies.
func stickyFile(c *conf.Config) string { return filepath.Join(c.Process.StateDir, "sticky.key") }

// stickyKey returns the key that signs sticky cookies. It is made once and stays, so
// that clients stay where they are after a restart.
func stickyKey(c *conf.Config) ([]byte, error) {
	key, err := readStickyKey(c)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	file := stickyFile(c)
	if err := admin.MakePrivate(filepath.Dir(file)); err != nil {
		return nil, err
	}
	if err := writeStickyKey(file); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("cannot write the key of sticky cookies: %w", err)
	}
	return readStickyKey(c) // another process may have been first
}

// knownStickyKey is the key if there is one that can be read, or else one that fits no
// cookie: to explain a request must not change anything.
func knownStickyKey(c *conf.Config) []byte {
	if key, err := readStickyKey(c); err == nil {
		return key
	}
	key := make([]byte, leastStickyKey)
	_, _ = rand.Read(key) // never fails
	return key
}

func readStickyKey(c *conf.Config) ([]byte, error) {
	file := stickyFile(c)
	info, err := os.Lstat(file)
	if err != nil {
		return nil, fmt.Errorf("cannot read the key of sticky cookies: %w", err)
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("cannot use the key of sticky cookies in %q: mode %v, want a file with mode 0600",
			file, info.Mode())
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("cannot read the key of sticky cookies: %w", err)
	}
	key := strings.TrimSpace(string(text))
	if len(key) < leastStickyKey {
		return nil, fmt.Errorf("cannot use the key of sticky cookies in %q: %d characters, want at least %d",
			file, len(key), leastStickyKey)
	}
	return []byte(key), nil
}

// writeStickyKey puts a new key into file, which is whole from the moment it exists.
func writeStickyKey(file string) error {
	tmp, err := os.CreateTemp(filepath.Dir(file), "sticky.key-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) //nolint:errcheck // of no use after the link, and private
	var key [32]byte
	_, _ = rand.Read(key[:]) // never fails
	_, err = tmp.WriteString(hex.EncodeToString(key[:]) + "\n")
	if err := errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	return os.Link(tmp.Name(), file)
}
