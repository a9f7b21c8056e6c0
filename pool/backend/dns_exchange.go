package backend

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	dnsPort = 53
	// udpPayload is the size of answers that we ask for (DNS flag day 2020); a
	// longer one is cut and asked for again by TCP.
	udpPayload = 1232
	// maxUDP is what we take from a server that sends more than it was asked for.
	maxUDP = 4096
	// maxStrays is how many packets that are no answer to the question we read
	// before we give the server up.
	maxStrays = 100
)

// askServer asks one server, by UDP and, where the answer does not fit, by TCP.
// Servers that do not know EDNS (RFC 6891) are asked without it.
func askServer(
	ctx context.Context, server netip.AddrPort, q dnsmessage.Question, timeout time.Duration,
) (reply, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	rep, err := exchange(ctx, "udp", server, q, true)
	if errors.Is(err, errNoEDNS) {
		rep, err = exchange(ctx, "udp", server, q, false)
	}
	if err == nil && rep.truncated {
		rep, err = exchange(ctx, "tcp", server, q, false)
		if err == nil && rep.truncated {
			err = errors.New("the answer is cut short by TCP too")
		}
	}
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("%w within %v", errDNSTimeout, timeout)
	}
	return rep, err
}

// exchange sends one question on a socket of its own, so with a source port that
// the kernel chose at random, and reads until the answer to it comes. The socket is
// connected: the kernel drops what others send.
func exchange(
	ctx context.Context, network string, server netip.AddrPort, q dnsmessage.Question, edns bool,
) (reply, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, server.String())
	if err != nil {
		return reply{}, err
	}
	defer func() { _ = conn.Close() }()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()

	id := uint16(rand.Uint32()) // ChaCha8, seeded by the kernel: not to be guessed
	query, err := appendQuery(make([]byte, 2, 512), id, q, edns)
	if err != nil {
		return reply{}, err
	}
	binary.BigEndian.PutUint16(query, uint16(len(query)-2))
	if network == "tcp" {
		return exchangeTCP(conn, query, id, q)
	}
	return exchangeUDP(conn, query[2:], id, q)
}

func exchangeUDP(conn net.Conn, query []byte, id uint16, q dnsmessage.Question) (reply, error) {
	if _, err := conn.Write(query); err != nil {
		return reply{}, err
	}
	buf := make([]byte, maxUDP)
	for range maxStrays {
		n, err := conn.Read(buf)
		if err != nil {
			return reply{}, err
		}
		rep, err := parseReply(buf[:n], id, q)
		if !errors.Is(err, errNotOurs) {
			return rep, err
		}
	}
	return reply{}, fmt.Errorf("%d packets, none of them the answer", maxStrays)
}

func exchangeTCP(conn net.Conn, query []byte, id uint16, q dnsmessage.Question) (reply, error) {
	if _, err := conn.Write(query); err != nil {
		return reply{}, err
	}
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return reply{}, err
	}
	buf := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(conn, buf); err != nil {
		return reply{}, err
	}
	return parseReply(buf, id, q)
}
