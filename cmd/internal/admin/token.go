package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"path/filepath"

	"weir/conf"
)

// TokenFile returns where the token is that a process with this configuration
// made at its start, or would make.
func TokenFile(c *conf.Config) string { return filepath.Join(c.Process.StateDir, "admin.token") }

func tokenOf(c *conf.Config) Secret { return Secret{File: TokenFile(c), What: "admin token"} }

// readToken returns the token of the configuration, or else that of the token file.
func readToken(c *conf.Config) (string, error) {
	if !c.Admin.Token.IsZero() {
		return c.Admin.Token.Reveal(), nil
	}
	return tokenOf(c).Read()
}

// makeToken is readToken for the server: it makes the token file where there is
// none. A token made once stays, so that scripts outlive a restart.
func makeToken(c *conf.Config) (string, error) {
	if !c.Admin.Token.IsZero() {
		return c.Admin.Token.Reveal(), nil
	}
	return tokenOf(c).Make()
}

// sameToken compares in a time that says nothing about want, not even its length.
func sameToken(got, want string) bool {
	g, w := sha256.Sum256([]byte(got)), sha256.Sum256([]byte(want))
	return subtle.ConstantTimeCompare(g[:], w[:]) == 1
}
