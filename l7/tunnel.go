package l7

import (
	"io"
	"net"
	"sync"

	"weir/l7/message"
	"weir/pool"
	"weir/pool/backend"
)

// tunnelBuffer is what each direction of a tunnel reads into.
const tunnelBuffer = 4 << 10

// tunnel passes octets both ways after a 101 until both directions have ended.
// Nothing that the client sent before the 101 has reached the backend.
func (x *exchange) tunnel() verdict {
	client, early, err := x.h.Hijack()
	if err != nil {
		return x.clientLost(err)
	}
	x.c.setUpstream(nil)
	server, late, err := x.up.Hijack()
	x.up = nil
	if err != nil {
		x.fail(message.Upstream, "truncated", err)
		return end
	}
	defer func() { _ = server.Close() }() // the octets have gone or were counted as lost
	var wg sync.WaitGroup
	wg.Go(func() { x.tunnelIn = x.s.relay(server, client, early) })
	x.tunnelOut = x.s.relay(client, server, late)
	wg.Wait()
	x.member.Report(backend.Success)
	return end
}

// relay writes first and then all that src sends to dst, and passes the end on.
// It returns how many octets it wrote.
func (s *Server) relay(dst, src net.Conn, first []byte) (moved uint64) {
	defer func() {
		if p := recover(); p != nil {
			s.panicked("tunnel", p)
			_ = dst.Close() // or the other direction would wait for ever
			_ = src.Close()
		}
	}()
	buf := pool.Get(tunnelBuffer)
	defer buf.Release()
	n, err := dst.Write(first)
	for moved = uint64(n); err == nil; {
		n, err = src.Read(buf.B)
		if n > 0 {
			w, errWrite := dst.Write(buf.B[:n])
			moved += uint64(w)
			if errWrite != nil {
				err = errWrite
			}
		}
	}
	if h, ok := dst.(interface{ CloseWrite() error }); ok && err == io.EOF && h.CloseWrite() == nil {
		return moved
	}
	// One direction broke: the other one has nothing to say any more.
	_ = dst.Close()
	_ = src.Close()
	return moved
}
