package engine

import (
	"path/filepath"

	"weir/cmd/internal/admin"
	"weir/conf"
)

// stickyFile is where the key is that signs sticky cookies.
func stickyFile(c *conf.Config) string { return filepath.Join(c.Process.StateDir, "sticky.key") }

func stickySecret(c *conf.Config) admin.Secret {
	return admin.Secret{File: stickyFile(c), What: "key of sticky cookies"}
}

// stickyKey returns the key that signs sticky cookies. It is made once and stays, so
// that clients stay where they are after a restart.
func stickyKey(c *conf.Config) ([]byte, error) {
	key, err := stickySecret(c).Make()
	return []byte(key), err
}

// knownStickyKey is the key if there is one that can be read, or else one that fits no
// cookie: to explain a request must not change anything.
func knownStickyKey(c *conf.Config) []byte {
	key, err := stickySecret(c).Read()
	if err != nil {
		key = admin.NewSecret()
	}
	return []byte(key)
}
