package loop

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weir/pool/limit"
)

// handed makes a TCP connection and gives its accepted end the form of a hand-over.
func handed(t *testing.T, data string) (*Conn, *net.TCPConn, *limit.Conns) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	accepted, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	conns := limit.New(limit.Limits{})
	ticket, _ := conns.Listener("t", limit.Limits{}).Acquire(netip.Addr{})
	h := Handover{
		FD: dupNonblock(t, accepted.(*net.TCPConn)), Data: []byte(data), Ticket: ticket,
		Local:  accepted.LocalAddr().(*net.TCPAddr).AddrPort(),
		Remote: accepted.RemoteAddr().(*net.TCPAddr).AddrPort(),
	}
	c, err := NewConn(h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, client.(*net.TCPConn), conns
}

func dupNonblock(t *testing.T, c *net.TCPConn) int {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	fd := -1
	raw.Control(func(old uintptr) { fd, err = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) })
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

func TestConnServesHandedOverBytesFirst(t *testing.T) {
	c, client, _ := handed(t, "first ")
	client.Write([]byte("second"))
	client.CloseWrite()
	if c.Buffered() != 6 {
		t.Errorf("Buffered: got %d, want 6", c.Buffered())
	}
	got, err := io.ReadAll(c)
	if string(got) != "first second" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if c.RemoteAddr().String() != client.LocalAddr().String() || c.LocalAddrPort().Port() == 0 {
		t.Errorf("addresses: remote %s, local %s", c.RemoteAddr(), c.LocalAddr())
	}
}

func TestConnCloseReleasesTicketOnce(t *testing.T) {
	c, client, conns := handed(t, "")
	if conns.Count() != 1 {
		t.Fatalf("count before: %d", conns.Count())
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := c.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("second Close: %v, want net.ErrClosed", err)
	}
	if conns.Count() != 0 {
		t.Errorf("count after: %d", conns.Count())
	}
	if n, err := client.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("client: %d, %v, want EOF", n, err)
	}
}

func TestConnDeadlineIsATimeout(t *testing.T) {
	c, _, _ := handed(t, "")
	c.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
	_, err := c.Read(make([]byte, 1))
	var ne net.Error
	if !errors.As(err, &ne) || !ne.Timeout() || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v, want a timeout", err)
	}
	c.Close()
	if _, err = c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v, want net.ErrClosed", err)
	}
}

func TestConnCloseWriteKeepsReading(t *testing.T) {
	c, client, _ := handed(t, "")
	c.Write([]byte("answer"))
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(client); string(got) != "answer" || err != nil {
		t.Fatalf("client got %q, %v", got, err)
	}
	client.Write([]byte("late"))
	client.CloseWrite()
	if got, err := io.ReadAll(c); string(got) != "late" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if s := c.PeerState(); s != PeerFin {
		t.Errorf("both directions ended: state %d, want fin", s)
	}
}

func TestConnPeerState(t *testing.T) {
	f := func(change func(client *net.TCPConn), want PeerState) {
		t.Helper()
		c, client, _ := handed(t, "")
		if s := c.PeerState(); s != PeerOpen {
			t.Errorf("fresh connection: state %d, want open", s)
		}
		client.Write([]byte("unread bytes hide nothing"))
		change(client)
		for deadline := time.Now().Add(5 * time.Second); ; {
			s := c.PeerState()
			if s == want {
				return
			}
			if time.Now().After(deadline) {
				t.Errorf("state %d, want %d", s, want)
				return
			}
			time.Sleep(time.Millisecond)
		}
	}
	f(func(*net.TCPConn) {}, PeerOpen)
	f(func(c *net.TCPConn) { c.CloseWrite() }, PeerFin)
	f(func(c *net.TCPConn) { c.SetLinger(0); c.Close() }, PeerReset)
}

func TestConnReset(t *testing.T) {
	c, client, conns := handed(t, "")
	if err := c.Reset(); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("client got %v, want ECONNRESET", err)
	}
	if conns.Count() != 0 {
		t.Errorf("ticket not released")
	}
}

func TestConnWritev(t *testing.T) {
	c, client, _ := handed(t, "")
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<18) // 4 MiB: beyond any socket buffer
	var want bytes.Buffer
	bufs := [][]byte{[]byte("head"), nil, big, []byte("tail")}
	for _, b := range bufs {
		want.Write(b)
	}
	total := int64(want.Len())
	got := make(chan []byte)
	go func() {
		b, _ := io.ReadAll(client)
		got <- b
	}()
	if n, err := c.Writev(bufs); n != total || err != nil {
		t.Fatalf("wrote %d of %d, %v", n, total, err)
	}
	if n, err := c.Writev(nil); n != 0 || err != nil {
		t.Errorf("nothing: %d, %v", n, err)
	}
	if n, err := c.Writev([][]byte{[]byte("x")}); n != 1 || err != nil {
		t.Errorf("a second call: %d, %v", n, err)
	}
	want.WriteString("x")
	c.CloseWrite()
	if !bytes.Equal(<-got, want.Bytes()) {
		t.Error("the client got other bytes")
	}
}

func TestConnWritevReportsBrokenConnection(t *testing.T) {
	c, client, _ := handed(t, "")
	client.SetLinger(0)
	client.Close()
	chunk := make([]byte, 1<<20)
	var err error
	for range 100 {
		if _, err = c.Writev([][]byte{chunk}); err != nil {
			break
		}
	}
	if !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v, want EPIPE or ECONNRESET", err)
	}
}

func TestConnAllocations(t *testing.T) {
	if raceEnabled {
		t.Log("allocations are not counted under the race detector")
		return
	}
	c, client, _ := handed(t, "")
	in, out := make([]byte, 64), make([]byte, 64)
	vec := make([][]byte, 2)
	n := testing.AllocsPerRun(100, func() {
		client.Write(out)
		c.Read(in)
		vec[0], vec[1] = out[:32], out[32:]
		c.Writev(vec)
		io.ReadFull(client, in)
		_ = c.RemoteAddrPort()
	})
	if n != 0 {
		t.Errorf("%v allocations per round trip, want 0", n)
	}
}

func TestNewConnRefusesBadDescriptor(t *testing.T) {
	conns := limit.New(limit.Limits{})
	ticket, _ := conns.Listener("t", limit.Limits{}).Acquire(netip.Addr{})
	if _, err := NewConn(Handover{FD: -1, Ticket: ticket}); err == nil {
		t.Error("no error")
	}
	if conns.Count() != 0 {
		t.Error("ticket not released")
	}
}
