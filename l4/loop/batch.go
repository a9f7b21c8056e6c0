package loop

import (
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// BatchSize is how many datagrams a Batch holds; a set of them is a bit mask.
	BatchSize = 32
	// DatagramMax is more than the largest datagram of IPv4 and IPv6, 65,527 bytes.
	DatagramMax = 64 << 10
	// controlSize has room for one IP_PKTINFO or IPV6_PKTINFO, in words.
	controlSize = 6
)

// Client says where a datagram came from and to which of our addresses, which is
// where an answer goes and comes from. It is comparable: a client that uses two of
// our addresses, or two ports of its own, is two.
type Client struct {
	addr, local [16]byte // IPv4 as IPv4-mapped; local is zero where the socket has one address only
	scope       uint32   // the interface of a link-local address
	port        uint16
	inet4       bool // came in on a socket of IPv4
}

// AddrPort is the address that the client sends from, without the zone.
func (c *Client) AddrPort() netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom16(c.addr).Unmap(), c.port)
}

// Batch is memory for datagrams that are received and sent with one system call
// each. It is about two megabytes, of which only what datagrams fill is ever
// touched. It belongs to one goroutine at a time.
type Batch struct {
	bufs     []byte
	in, out  [BatchSize]unix.Mmsghdr
	inVec    [BatchSize]unix.Iovec
	outVec   [BatchSize]unix.Iovec
	names    [BatchSize]unix.RawSockaddrInet6 // large enough for IPv4 too
	controls [BatchSize][controlSize]uint64
	toName   unix.RawSockaddrInet6
	toInfo   [controlSize]uint64
}

// NewBatch returns an empty Batch.
func NewBatch() *Batch {
	b := &Batch{bufs: make([]byte, BatchSize*DatagramMax)}
	for i := range BatchSize {
		b.inVec[i].Base = &b.bufs[i*DatagramMax]
		b.inVec[i].SetLen(DatagramMax)
		h := &b.in[i].Hdr
		h.Iov = &b.inVec[i]
		h.SetIovlen(1)
		h.Name = (*byte)(unsafe.Pointer(&b.names[i]))
		h.Control = (*byte)(unsafe.Pointer(&b.controls[i]))
		b.out[i].Hdr.Iov = &b.outVec[i]
		b.out[i].Hdr.SetIovlen(1)
	}
	return b
}

// Receive takes what waits on fd, at most BatchSize datagrams, and forgets those that
// it held before. It never blocks: without a datagram it returns EAGAIN.
func (b *Batch) Receive(fd int) (int, unix.Errno) {
	for i := range b.in {
		h := &b.in[i].Hdr
		h.Namelen = unix.SizeofSockaddrInet6
		h.SetControllen(8 * controlSize)
		h.Flags = 0
	}
	n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&b.in[0])),
		BatchSize, unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// Data is what datagram i holds; it may be empty.
func (b *Batch) Data(i int) []byte {
	at := i * DatagramMax
	return b.bufs[at : at+int(b.in[i].Len)]
}

// Truncated reports that datagram i was longer than DatagramMax.
func (b *Batch) Truncated(i int) bool { return b.in[i].Hdr.Flags&unix.MSG_TRUNC != 0 }

// Client says where datagram i, received on a socket that is not connected, came from.
func (b *Batch) Client(i int) Client {
	var c Client
	if name := &b.names[i]; name.Family == unix.AF_INET {
		in := (*unix.RawSockaddrInet4)(unsafe.Pointer(name))
		c.addr, c.port, c.inet4 = netip.AddrFrom4(in.Addr).As16(), ntohs(in.Port), true
	} else {
		c.addr, c.port, c.scope = name.Addr, ntohs(name.Port), name.Scope_id
	}
	h := &b.in[i].Hdr
	if h.Controllen < unix.SizeofCmsghdr {
		return c
	}
	head := (*unix.Cmsghdr)(unsafe.Pointer(&b.controls[i]))
	data := unsafe.Pointer(&b.controls[i][unix.SizeofCmsghdr/8])
	switch {
	case head.Level == unix.IPPROTO_IP && head.Type == unix.IP_PKTINFO:
		c.local = netip.AddrFrom4((*unix.Inet4Pktinfo)(data).Spec_dst).As16()
	case head.Level == unix.IPPROTO_IPV6 && head.Type == unix.IPV6_PKTINFO:
		c.local = (*unix.Inet6Pktinfo)(data).Addr
	}
	return c
}

// Send sends those of the received datagrams whose bits are set, in their order, and
// says how many were sent; where that is none, errno tells why of the first. Where
// to is nil, fd must be connected.
func (b *Batch) Send(fd int, set uint32, to *Client) (int, unix.Errno) {
	var name, control *byte
	var nameLen, controlLen int
	if to != nil {
		name, nameLen = b.address(to)
		control, controlLen = b.source(to)
	}
	n := 0
	for i := range BatchSize {
		if set&(1<<i) == 0 {
			continue
		}
		h := &b.out[n].Hdr
		b.outVec[n].Base = &b.bufs[i*DatagramMax]
		b.outVec[n].SetLen(int(b.in[i].Len))
		h.Name, h.Namelen = name, uint32(nameLen)
		h.Control = control
		h.SetControllen(controlLen)
		n++
	}
	if n == 0 {
		return 0, 0
	}
	sent, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&b.out[0])),
		uintptr(n), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(sent), 0
}

// address fills in where a datagram goes.
func (b *Batch) address(to *Client) (*byte, int) {
	name := (*byte)(unsafe.Pointer(&b.toName))
	if to.inet4 {
		in := (*unix.RawSockaddrInet4)(unsafe.Pointer(&b.toName))
		*in = unix.RawSockaddrInet4{Family: unix.AF_INET, Port: ntohs(to.port)}
		copy(in.Addr[:], to.addr[12:])
		return name, unix.SizeofSockaddrInet4
	}
	b.toName = unix.RawSockaddrInet6{
		Family: unix.AF_INET6, Port: ntohs(to.port), Addr: to.addr, Scope_id: to.scope,
	}
	return name, unix.SizeofSockaddrInet6
}

// source fills in which of our addresses a datagram comes from.
func (b *Batch) source(to *Client) (*byte, int) {
	if to.local == [16]byte{} {
		return nil, 0
	}
	head := (*unix.Cmsghdr)(unsafe.Pointer(&b.toInfo))
	data := unsafe.Pointer(&b.toInfo[unix.SizeofCmsghdr/8])
	size := 0
	if to.inet4 {
		head.Level, head.Type = unix.IPPROTO_IP, unix.IP_PKTINFO
		info := unix.Inet4Pktinfo{}
		copy(info.Spec_dst[:], to.local[12:])
		*(*unix.Inet4Pktinfo)(data) = info
		size = unix.SizeofInet4Pktinfo
	} else {
		head.Level, head.Type = unix.IPPROTO_IPV6, unix.IPV6_PKTINFO
		*(*unix.Inet6Pktinfo)(data) = unix.Inet6Pktinfo{Addr: to.local}
		size = unix.SizeofInet6Pktinfo
	}
	head.SetLen(unix.CmsgLen(size))
	return (*byte)(unsafe.Pointer(&b.toInfo)), unix.CmsgSpace(size)
}
