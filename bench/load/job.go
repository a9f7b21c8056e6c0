package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// A job is what a plan becomes before it runs: addresses are resolved, requests
// are written. It is shared by all connections.
type job struct {
	plan     *Plan
	network  string // for package net
	address  string
	sockaddr unix.Sockaddr
	pattern  pattern
	check    *check
	first    []byte // the start of each request; only read
	start    int64  // how much of the body is in first
}

const resolveTimeout = 5 * time.Second

func newJob(ctx context.Context, p *Plan) (*job, error) {
	j := &job{plan: p, pattern: newPattern(), check: newCheck(p)}
	j.writeRequest()
	if path, ok := strings.CutPrefix(p.Address, "unix:"); ok {
		j.network, j.address, j.sockaddr = "unix", path, &unix.SockaddrUnix{Name: path}
		return j, nil
	}
	addr, err := resolve(ctx, p.Address)
	if err != nil {
		return nil, fmt.Errorf("cannot resolve %q: %w", p.Address, err)
	}
	j.network, j.address = "tcp", addr.String()
	if ip := addr.Addr(); ip.Is4() {
		j.sockaddr = &unix.SockaddrInet4{Port: int(addr.Port()), Addr: ip.As4()}
	} else {
		j.sockaddr = &unix.SockaddrInet6{Port: int(addr.Port()), Addr: ip.As16()}
	}
	return j, nil
}

// resolve looks up the address once: a run has one target.
func resolve(ctx context.Context, address string) (netip.AddrPort, error) {
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return netip.AddrPort{}, err
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil || port == 0 {
		return netip.AddrPort{}, fmt.Errorf("port %q: expected 1 to 65535", service)
	}
	if host == "" {
		host = "localhost"
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return netip.AddrPort{}, err
	}
	for _, ip := range ips {
		if ip = ip.Unmap(); ip.Is4() {
			return netip.AddrPortFrom(ip, uint16(port)), nil
		}
	}
	if len(ips) == 0 {
		return netip.AddrPort{}, errors.New("no address")
	}
	return netip.AddrPortFrom(ips[0], uint16(port)), nil
}

// serverName is the name that connection i asks for by SNI.
func (j *job) serverName(i int) string {
	if names := j.plan.ServerNames; len(names) > 0 {
		return names[i%len(names)]
	}
	host, _, err := net.SplitHostPort(j.plan.Host)
	if err != nil {
		host = j.plan.Host
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return "" // SNI has no addresses (RFC 6066 section 3)
	}
	return host
}

// firstBody is how much of a request body goes out with the head, in one write.
const firstBody = 64 << 10

// newWire makes the state of one connection on a loop.
func (j *job) newWire() wire {
	switch j.plan.Kind {
	case TCP:
		return &echoWire{job: j}
	case UDP:
		return &datagramWire{echoWire{job: j}}
	case Download:
		return &downloadWire{want: j.plan.Receive}
	case Upload:
		return uploadWire{}
	default:
		return &httpWire{job: j, resp: j.newResponse()}
	}
}

func (j *job) newResponse() response {
	return response{headless: j.plan.Method == "HEAD", sums: j.plan.Verify}
}

// writeRequest makes what all requests begin with.
func (j *job) writeRequest() {
	switch j.plan.Kind {
	case HTTP1, TCP, UDP:
		j.start = min(j.plan.Send, firstBody)
	default:
		return
	}
	if j.plan.Kind == HTTP1 {
		j.first = j.requestHead()
	}
	j.first = append(j.first, j.pattern.body(j.start)...)
}

// requestHead is the head of each HTTP/1.1 request.
func (j *job) requestHead() []byte {
	p := j.plan
	b := fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: weir-bench\r\n", p.Method, p.Path, p.Host)
	for _, f := range p.Fields {
		b = append(append(b, f...), "\r\n"...)
	}
	if p.Send > 0 || p.Method == "POST" || p.Method == "PUT" {
		b = fmt.Appendf(b, "Content-Length: %d\r\n", p.Send)
	}
	if p.Reconnect {
		b = append(b, "Connection: close\r\n"...)
	}
	return append(b, "\r\n"...)
}

// check tells right responses from wrong ones. It may be used by many goroutines.
type check struct {
	status int
	length int64
	sums   bool
	sum    atomic.Uint64 // of the first body plus one, 0: none yet
}

func newCheck(p *Plan) *check {
	return &check{status: p.Status, length: p.Receive, sums: p.Verify}
}

func (c *check) of(status int, length int64, sum uint32) failure {
	switch {
	case status != c.status:
		return failStatus
	case c.length != 0 && length != max(c.length, 0):
		return failLength
	case c.sums && !c.sum.CompareAndSwap(0, uint64(sum)+1) && c.sum.Load() != uint64(sum)+1:
		return failData
	}
	return failNone
}
