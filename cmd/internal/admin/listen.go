package admin

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"weir/conf"

	"golang.org/x/sys/unix"
)

// maxSocketPath is what fits into sun_path of unix(7) with its final zero.
const maxSocketPath = 107

// guard is who may use the API.
type guard struct {
	socket bool   // a unix socket: its mode has let in nobody but the owner
	token  string // "" only with socket
	host   string // the configured host, "" for every interface
	leaf   *tls.Certificate
}

// listen binds the admin address. Beyond loopback it wants TLS and a token from
// the file: a token made at start is for those who can read it on this machine.
func listen(c *conf.Config) (net.Listener, guard, error) {
	if c.Admin.Listen.IsZero() || c.Admin.Listen.Network == "unix" {
		return listenSocket(c)
	}
	addr, beyond := c.Admin.Listen, !isLoopback(c.Admin.Listen.Host)
	if beyond && (c.Admin.Cert == "" || c.Admin.Token.IsZero()) {
		return nil, guard{}, fmt.Errorf("cannot listen on %q for admin: "+
			"an address beyond loopback needs cert, key and token in [admin]", addr)
	}
	token, err := makeToken(c)
	if err != nil {
		return nil, guard{}, err
	}
	g := guard{token: token, host: addr.Host}
	if c.Admin.Cert != "" {
		pair, err := tls.LoadX509KeyPair(c.Admin.Cert, c.Admin.Key)
		if err != nil {
			return nil, guard{}, fmt.Errorf("cannot load the certificate %q of [admin]: %w", c.Admin.Cert, err)
		}
		g.leaf = &pair
	}
	l, err := net.Listen("tcp", addr.String())
	if err != nil {
		return nil, guard{}, fmt.Errorf("cannot listen on %q for admin: %w", addr, err)
	}
	return l, g, nil
}

// isLoopback reports whether host can be reached from this machine only. A name
// other than localhost is not asked for: what it resolves to may change.
func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

func listenSocket(c *conf.Config) (net.Listener, guard, error) {
	addr := c.Admin.Listen
	if addr.IsZero() {
		addr = SocketAddr(c)
		if err := MakePrivate(filepath.Dir(addr.Path)); err != nil {
			return nil, guard{}, err
		}
	}
	switch {
	case strings.HasPrefix(addr.Path, "@"):
		return nil, guard{}, fmt.Errorf("cannot listen on %q for admin: "+
			"an abstract socket has no mode that keeps others out, want a path", addr)
	case len(addr.Path) > maxSocketPath:
		return nil, guard{}, fmt.Errorf("cannot listen on %q for admin: the path has %d bytes, a socket's may have %d",
			addr, len(addr.Path), maxSocketPath)
	}
	if err := removeStale(addr.Path); err != nil {
		return nil, guard{}, err
	}
	// Nobody else is let in for the moment until the mode is set either. The mask is
	// the process's own, which makes no other file while it starts.
	mask := unix.Umask(0o177)
	l, err := net.Listen("unix", addr.Path)
	unix.Umask(mask)
	if err != nil {
		return nil, guard{}, fmt.Errorf("cannot listen on %q for admin: %w", addr, err)
	}
	if err := os.Chmod(addr.Path, 0o600); err != nil {
		return nil, guard{}, errors.Join(fmt.Errorf("cannot protect the admin socket: %w", err), l.Close())
	}
	return l, guard{socket: true}, nil
}

// removeStale removes the socket of a process that was killed. One that somebody
// serves, and anything that is not a socket, stays.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != os.ModeSocket {
		return nil // nothing there, or net.Listen says what is wrong
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		return errors.Join(fmt.Errorf("cannot listen on %q for admin: another process serves it", "unix:"+path),
			conn.Close())
	}
	if !errors.Is(err, unix.ECONNREFUSED) {
		return nil
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("cannot remove the stale admin socket: %w", err)
	}
	return nil
}
