package admin

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// leastSecret is the shortest secret taken from a file, in characters.
const leastSecret = 16

// Secret is a private file with a random secret, which is made once and stays: what
// depends on it outlives a restart.
type Secret struct {
	File string
	What string // for errors: "admin token"
}

// Read returns the secret. The error is fs.ErrNotExist where there is no file; one that
// others may read, or that holds less than 16 characters, is refused.
func (s Secret) Read() (string, error) {
	info, err := os.Lstat(s.File)
	if err != nil {
		return "", fmt.Errorf("cannot read the %s: %w", s.What, err)
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("cannot use the %s in %q: mode %v, want a file with mode 0600",
			s.What, s.File, info.Mode())
	}
	text, err := os.ReadFile(s.File)
	if err != nil {
		return "", fmt.Errorf("cannot read the %s: %w", s.What, err)
	}
	secret := strings.TrimSpace(string(text))
	if len(secret) < leastSecret {
		return "", fmt.Errorf("cannot use the %s in %q: %d characters, want at least %d",
			s.What, s.File, len(secret), leastSecret)
	}
	return secret, nil
}

// Make is Read, and makes the file where there is none.
func (s Secret) Make() (string, error) {
	secret, err := s.Read()
	if !errors.Is(err, fs.ErrNotExist) {
		return secret, err
	}
	if err := MakePrivate(filepath.Dir(s.File)); err != nil {
		return "", err
	}
	if err := s.write(); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("cannot write the %s: %w", s.What, err)
	}
	return s.Read() // another process may have been first
}

// write puts a new secret into the file, which is whole from the moment it exists.
func (s Secret) write() error {
	tmp, err := os.CreateTemp(filepath.Dir(s.File), filepath.Base(s.File)+"-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) //nolint:errcheck // of no use after the link, and private
	_, err = tmp.WriteString(NewSecret() + "\n")
	if err := errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	return os.Link(tmp.Name(), s.File)
}

// NewSecret returns 256 random bits in hex.
func NewSecret() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
