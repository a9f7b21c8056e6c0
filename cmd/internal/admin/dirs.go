package admin

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"weir/conf"
)

// SocketAddr returns where the admin API of a process with this configuration
// listens when the file has no [admin]: a socket in the runtime directory, named
// after the file, so that two processes of one user do not meet. A configuration
// from memory has one socket per process.
func SocketAddr(c *conf.Config) conf.Addr {
	name := "admin-" + strconv.Itoa(os.Getpid())
	if c.File != "" {
		sum := sha256.Sum256([]byte(c.File))
		name = "admin-" + hex.EncodeToString(sum[:6])
	}
	return conf.Addr{Network: "unix", Path: filepath.Join(c.Process.RuntimeDir, name+".sock")}
}

// MakePrivate makes dir where it is missing and refuses it where somebody else
// could have put something into it, as anybody can do in /tmp beforehand.
func MakePrivate(dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fmt.Errorf("cannot make directory %q: %w", filepath.Dir(dir), err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("cannot make directory %q: %w", dir, err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("cannot look at directory %q: %w", dir, err)
	}
	switch {
	case !info.IsDir():
		return fmt.Errorf("cannot use %q: it is not a directory", dir)
	case owner(info) != os.Geteuid():
		return fmt.Errorf("cannot use directory %q: it belongs to user %d, not to user %d",
			dir, owner(info), os.Geteuid())
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("cannot use directory %q: mode %04o lets others write, want 0700",
			dir, info.Mode().Perm())
	}
	return nil
}

// owner is the user a file belongs to.
func owner(info fs.FileInfo) int {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid)
	}
	return -1
}
