package l7

import (
	"crypto/tls"
	"sync/atomic"
	"time"

	"weir/l4/loop"
)

// tlsSource is the connection below TLS. It follows the records that crypto/tls
// reads, so that the sweeper can tell a client that half-closed from one whose
// connection was cut: the close_notify of the former has mostly left the kernel,
// together with the request, by the time the FIN is seen.
type tlsSource struct {
	*loop.Conn
	header   [recordHeader]byte
	have     int         // octets of header
	left     int         // octets of the record still to come
	notified atomic.Bool // the last record that was read whole may be a close_notify
}

// secured is a connection whose TLS ends here. On a lane its Read passes loop.ErrAgain on.
type secured struct {
	*tls.Conn
	source *tlsSource
	// The last Read returned something: there may be more in the records that were read,
	// of which neither the kernel nor the loop knows.
	more bool
}

// Read implements net.Conn.
func (s *secured) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	s.more = n > 0
	return n, err
}

// Settle writes what a lane has left behind: see [loop.Conn.Settle].
func (s *secured) Settle() error { return s.source.Settle() }

// Now is the present time, on a lane that of its loop.
func (s *secured) Now() time.Time { return s.source.Now() }

const (
	recordHeader = 5
	recordAlert  = 21 // content type, RFC 8446 section 5.1
	// sealedAlert is the length of an alert under TLS 1.3, where all records look
	// like application data: two octets, the content type and the tag. Two octets
	// of data look the same; a cut behind them passes for a half-close.
	sealedAlert = 2 + 1 + 16
)

// Read implements net.Conn.
func (s *tlsSource) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	s.follow(p[:max(n, 0)])
	return n, err
}

// follow goes over the records in p.
func (s *tlsSource) follow(p []byte) {
	for len(p) > 0 {
		if s.have < recordHeader {
			n := copy(s.header[s.have:], p)
			s.have += n
			p = p[n:]
			if s.have < recordHeader {
				break
			}
			s.left = int(s.header[3])<<8 | int(s.header[4])
		}
		n := min(s.left, len(p))
		s.left -= n
		p = p[n:]
		if s.left == 0 {
			s.have = 0
		}
	}
	length := int(s.header[3])<<8 | int(s.header[4])
	s.notified.Store(s.have == 0 && (s.header[0] == recordAlert || length == sealedAlert))
}

// isCut reports whether a connection that has got a FIN was cut off: no close_notify
// was read, and nothing that may hold one waits in the kernel.
func (s *tlsSource) isCut() bool { return !s.notified.Load() && !s.HasUnread() }
