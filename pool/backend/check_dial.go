package backend

import (
	"context"
	"net"
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

// dialCheck connects for a check and sends the PROXY header where one is expected.
func dialCheck(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
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
		return conn, nil
	}
	if _, err := conn.Write([]byte(header)); err != nil { // a fresh socket has room: it does not block
		_ = conn.Close() // the first error tells more
		return nil, err
	}
	return conn, nil
}
