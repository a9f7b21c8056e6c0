package backend

import (
	"context"
	"net"
	"strconv"
)

// tcpCheck passes when a connection is accepted before ctx ends. It is closed at
// once; nothing is sent but a PROXY header where the servers expect one.
func tcpCheck(ctx context.Context, network, address string) error {
	conn, err := dialCheck(ctx, network, address)
	if err != nil {
		return err
	}
	return conn.Close()
}

// withPort puts port in the place of that of address.
func withPort(address string, port uint16) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}
