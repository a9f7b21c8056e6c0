package l4

import (
	"math/bits"
	"time"

	"golang.org/x/sys/unix"

	"weir/l4/loop"
	"weir/pool"
	"weir/pool/backend"
)

const (
	// udpHoldPlain is how long a first datagram may be to be kept for a second try.
	udpHoldPlain = 4 << 10
	udpLenBytes  = 3
)

// hold keeps a copy of a first datagram that was sent, unless it is too long for that.
func (s *udpSession) hold(data []byte) {
	if len(data) <= udpHoldPlain && s.held.add(data, udpHoldPlain+udpLenBytes) {
		s.held.counted = 1
	}
}

// add keeps a copy of data within most bytes. It reports false where there is no room.
func (h *udpHeld) add(data []byte, most int) bool {
	need := h.end + udpLenBytes + len(data)
	if need > most {
		return false
	}
	if h.buf == nil {
		h.buf = pool.Get(need)
	} else if need > len(h.buf.B) {
		larger := pool.Get(min(max(need, 4*h.end), most))
		copy(larger.B, h.buf.B[:h.end])
		h.buf.Release()
		h.buf = larger
	}
	b := h.buf.B[h.end:]
	b[0], b[1], b[2] = byte(len(data)>>16), byte(len(data)>>8), byte(len(data))
	copy(b[udpLenBytes:], data)
	h.end = need
	h.total++
	return true
}

// all yields the datagrams in their order.
func (h *udpHeld) all(yield func([]byte) bool) {
	for at := 0; at < h.end; {
		b := h.buf.B[at:h.end]
		n := int(b[0])<<16 | int(b[1])<<8 | int(b[2])
		if !yield(b[udpLenBytes : udpLenBytes+n]) {
			return
		}
		at += udpLenBytes + n
	}
}

func (h *udpHeld) release() {
	if h.buf != nil {
		h.buf.Release()
	}
	*h = udpHeld{}
}

// resend sends what is held, and reports whether the backend is there.
func (s *udpSession) resend() bool {
	n := 0
	for data := range s.held.all {
		errno := loop.SendDatagram(s.fd, data)
		if refused(errno) {
			s.lost(errno)
			return false
		}
		if n++; n <= s.held.counted {
			continue
		}
		s.held.counted = n
		if errno != 0 {
			s.counters.drop(dropOf(errno, dropBackendFull), 1)
			continue
		}
		s.sent(1, uint64(len(data)))
	}
	return true
}

// sent counts what went to the backend.
func (s *udpSession) sent(datagrams, size uint64) {
	s.up.datagrams += datagrams
	s.up.bytes += size
	s.counters.udp.received.Add(datagrams)
	s.counters.received.Add(size)
}

// forward sends the pending datagrams of the batch to the backend.
func (s *udpSession) forward() {
	set := s.pending
	s.pending = 0
	head := bits.TrailingZeros32(set)
	first := s.up.datagrams == 0 && bits.OnesCount32(set) == 1
	for set != 0 {
		n, size, rest, errno := s.transmit(s.fd, set, nil, dropBackendFull)
		if n > 0 {
			// To send what is held once more could now change the order.
			s.held.release()
			s.sent(n, size)
		}
		if set = rest; errno == 0 {
			break
		}
		// The error is of a datagram before these: the kernel tells at the next chance it gets.
		s.lost(errno)
		if s.reach(); s.state == udpClosed {
			s.counters.drop(dropUnsent, bits.OnesCount32(set))
			return
		}
	}
	if first && s.up.datagrams == 1 {
		s.hold(s.shard.udp.batch.Data(head))
	}
}

// transmit sends datagrams of the batch until all are sent, or dropped, or the backend
// refuses; rest is then not empty.
func (s *udpSession) transmit(fd int, set uint32, to *loop.Client, full drop) (
	n, size uint64, rest uint32, err unix.Errno,
) {
	batch := s.shard.udp.batch
	for set != 0 {
		sent, errno := batch.Send(fd, set, to)
		switch {
		case errno == 0:
			for range sent {
				size += uint64(len(batch.Data(bits.TrailingZeros32(set))))
				set &= set - 1
			}
			n += uint64(sent)
		case errno == unix.EINTR:
		case to == nil && refused(errno):
			return n, size, set, errno
		default:
			why := dropOf(errno, full)
			lost := set
			if why != full {
				lost = set & -set // its own fault: the next may pass
			}
			s.counters.drop(why, bits.OnesCount32(lost))
			set &^= lost
		}
	}
	return n, size, 0, 0
}

// Ready implements [loop.Handler] for the socket to the backend: it passes on one
// batch of answers.
func (s *udpSession) Ready(fd int, _ loop.Events) {
	if fd != s.fd {
		return // meant for an earlier descriptor of this number
	}
	batch := s.shard.udp.batch
	n, errno := batch.Receive(fd)
	switch {
	case errno == unix.EAGAIN, errno == unix.EINTR:
		return
	case refused(errno):
		s.lost(errno)
		s.reach()
		return
	case errno != 0:
		s.member.Report(backend.Classify(errno))
		return
	}
	s.moved = s.shard.loop.Now()
	if s.down.datagrams == 0 {
		s.firstReply = time.Since(s.acceptedAt)
		s.held.release()
		s.member.Report(backend.Success)
	}
	s.deliver(n)
	if most := s.routing.conf.UDPResponses; most > 0 && s.down.datagrams >= s.up.datagrams*uint64(most) {
		s.close(reasonDone)
	}
}

// deliver sends the n datagrams of the batch to the client.
func (s *udpSession) deliver(n int) {
	set := uint32(0)
	for i := range n {
		if s.shard.udp.batch.Truncated(i) {
			s.counters.drop(dropTruncated, 1)
			continue
		}
		set |= 1 << i
	}
	s.down.datagrams += uint64(n)
	sent, size, _, _ := s.transmit(s.listener.fd, set, &s.client, dropClientFull)
	s.down.bytes += size
	s.counters.udp.sent.Add(sent)
	s.counters.sent.Add(size)
}
