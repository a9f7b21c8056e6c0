package backend

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"

	"weir/conf"
)

// The PROXY headers of a connection that is nobody's but Weir's: version 1 knows
// no better than UNKNOWN, version 2 has a command for it, LOCAL.
const (
	proxyUnknown = "PROXY UNKNOWN\r\n"
	proxyLocal   = "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"
)

// proxyKey is the key of the PROXY version in the context of a check: the header is
// a matter of the connection, of which the kinds of checks know nothing.
type proxyKey struct{}

// withProxy has checks under the context begin as a pool with this proxy_protocol does.
func withProxy(ctx context.Context, version string) context.Context {
	if version == "" {
		return ctx
	}
	return context.WithValue(ctx, proxyKey{}, version)
}

// socketKey is the key of the socket options in the context of a check.
type socketKey struct{}

// withSocket has checks under the context take the way of the pool's connections.
func withSocket(ctx context.Context, s *Socket) context.Context {
	if s == nil {
		return ctx
	}
	return context.WithValue(ctx, socketKey{}, s)
}

// tlsKey is the key of the TLS that a pool has, in the context of a check.
type tlsKey struct{}

// withTLS has checks under the context encrypt as the pool does.
func withTLS(ctx context.Context, config *tls.Config) context.Context {
	return context.WithValue(ctx, tlsKey{}, config)
}

// checksByTLS reports whether a check uses the TLS of its pool: where it speaks with
// the server as the pool does, and brings no settings of its own.
func checksByTLS(h *conf.Health) bool {
	switch h.Type {
	case checkHTTP, checkExpect:
		return h.Port == 0
	case checkTLSType:
		return h.Port == 0 && h.CA == "" && h.Name == ""
	case checkRedis:
		return h.Port == 0 && h.TLS == ""
	}
	return false
}

// dialCheck connects for a check, sends the PROXY header where one is expected and
// encrypts where the pool does.
func dialCheck(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	if s, _ := ctx.Value(socketKey{}).(*Socket); s != nil {
		d.Control = s.Control
	}
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	header := ""
	switch ctx.Value(proxyKey{}) {
	case "v1":
		header = proxyUnknown
	case "v2":
		header = proxyLocal
	}
	if header == "" {
		return secureCheck(ctx, conn)
	}
	if _, err := conn.Write([]byte(header)); err != nil { // a fresh socket has room: it does not block
		_ = conn.Close() // the first error tells more
		return nil, err
	}
	return secureCheck(ctx, conn)
}

// secureCheck encrypts conn where the context says so. An error closes it.
func secureCheck(ctx context.Context, conn net.Conn) (net.Conn, error) {
	config, ok := ctx.Value(tlsKey{}).(*tls.Config)
	if !ok {
		return conn, nil
	}
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close() // the first error tells more
		return nil, fmt.Errorf("cannot complete a TLS handshake: %w", checkCause(err))
	}
	return secure, nil
}
