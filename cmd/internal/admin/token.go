package admin

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"weir/conf"
)

// minToken is the shortest token taken from a token file, in characters.
const minToken = 16

// TokenFile returns where the token is that a process with this configuration
// made at its start, or would make.
func TokenFile(c *conf.Config) string { return filepath.Join(c.Process.StateDir, "admin.token") }

// readToken returns the token of the configuration, or else that of the token file.
func readToken(c *conf.Config) (string, error) {
	if !c.Admin.Token.IsZero() {
		return c.Admin.Token.Reveal(), nil
	}
	file := TokenFile(c)
	info, err := os.Lstat(file)
	if err != nil {
		return "", fmt.Errorf("cannot read the admin token: %w", err)
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("cannot use the admin token in %q: mode %v, want a file with mode 0600",
			file, info.Mode())
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("cannot read the admin token: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if len(token) < minToken {
		return "", fmt.Errorf("cannot use the admin token in %q: %d characters, want at least %d",
			file, len(token), minToken)
	}
	return token, nil
}

// makeToken is readToken for the server: it makes the token file where there is
// none. A token made once stays, so that scripts outlive a restart.
func makeToken(c *conf.Config) (string, error) {
	token, err := readToken(c)
	if !errors.Is(err, fs.ErrNotExist) {
		return token, err
	}
	file := TokenFile(c)
	if err := MakePrivate(filepath.Dir(file)); err != nil {
		return "", err
	}
	if err := writeToken(file); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("cannot write the admin token: %w", err)
	}
	return readToken(c) // another process may have been first
}

// writeToken puts a new token into file, which is whole from the moment it exists.
func writeToken(file string) error {
	tmp, err := os.CreateTemp(filepath.Dir(file), "admin.token-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) //nolint:errcheck // of no use after the link, and private
	var secret [32]byte
	_, _ = rand.Read(secret[:]) // never fails
	_, err = tmp.WriteString(hex.EncodeToString(secret[:]) + "\n")
	if err := errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	return os.Link(tmp.Name(), file)
}

// sameToken compares in a time that says nothing about want, not even its length.
func sameToken(got, want string) bool {
	g, w := sha256.Sum256([]byte(got)), sha256.Sum256([]byte(want))
	return subtle.ConstantTimeCompare(g[:], w[:]) == 1
}
