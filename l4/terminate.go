package l4

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"time"

	"weir/conf"
	"weir/pool/backend"
	"weir/pool/cert"
	"weir/pool/limit"
)

// noTicket stands for a ticket that went elsewhere.
var noTicket limit.Ticket

// terminating is the mode of a destination whose TLS Weir ends.
const terminating = "terminate"

// tlsFacts is what the handshake with a client brought to light.
type tlsFacts struct {
	result  string // full, resumed
	version string
	cipher  string
	alpn    string
	subject string // of the client's certificate, which was verified; "": there is none
	name    string // its common name
	took    time.Duration
}

func newTLSFacts(state tls.ConnectionState, took time.Duration) *tlsFacts {
	f := &tlsFacts{
		result: "full", version: tls.VersionName(state.Version), cipher: tls.CipherSuiteName(state.CipherSuite),
		alpn: state.NegotiatedProtocol, took: took,
	}
	if state.DidResume {
		f.result = "resumed"
	}
	if len(state.PeerCertificates) > 0 {
		f.subject, f.name = identity(state.PeerCertificates[0])
	}
	return f
}

// identity names the holder of a certificate: by its subject, or where that is
// empty by the first of its other names.
func identity(leaf *x509.Certificate) (subject, name string) {
	subject, name = leaf.Subject.String(), leaf.Subject.CommonName
	if subject != "" {
		return subject, name
	}
	switch {
	case len(leaf.URIs) > 0:
		subject = leaf.URIs[0].String()
	case len(leaf.DNSNames) > 0:
		subject = leaf.DNSNames[0]
	case len(leaf.EmailAddresses) > 0:
		subject = leaf.EmailAddresses[0]
	default:
		subject = fmt.Sprintf("serial %x", leaf.SerialNumber)
	}
	return subject, name
}

// loadTLS prepares to end TLS where the listener does; before is what it had. A
// certificate that is not valid now is served all the same: clients then say what is
// wrong.
func (r *routing) loadTLS(l *conf.L4, before *cert.TLS, warn func(string, ...any)) (err error) {
	if l.TLS == nil {
		return nil
	}
	if r.front, err = cert.Server(l.TLS, before); err != nil {
		return fmt.Errorf("cannot use the TLS of listener %q: %w", l.Name, err)
	}
	if err := r.front.Store.Check(time.Now()); err != nil {
		warn("certificate is not valid now", "listener", l.Name, "error", err)
	}
	return nil
}

// terminate lets goroutines end the client's TLS. The hello, which was read, is whole.
func (s *session) terminate(to *destination) {
	s.to = to
	s.state = stateTerminating
	s.up.off += int(s.prologue.asked) // what is left is TLS
	s.shard.loop.Disarm(&s.timer)
	s.secure(s.routing.front.Config)
}

// seek begins to look for a member of the pool that was chosen.
func (s *session) seek() {
	s.state = stateConnecting
	s.connecting = s.shard.loop.Now()
	s.query.Reset(backend.HashAddr(s.peer.Addr()))
	s.connect()
}

// isSecured reports whether goroutines have to move the bytes.
func (s *session) isSecured() bool { return s.tls != nil || s.to.group.TLS() != nil }

// relaySecured begins to watch over goroutines that relay.
func (s *session) relaySecured() {
	s.state = stateRelaying
	s.moved = s.shard.loop.Now()
	s.watchQuiet()
}

// settle takes over what the goroutines counted and lets them go.
func (s *session) settle(cut bool) {
	t := s.tls
	s.tls = nil
	s.up.bytes, s.down.bytes = t.up.Load(), t.down.Load()
	if at := t.answered.Load(); at > 0 {
		s.firstByteAt(time.Duration(at))
	}
	t.stop(cut)
}

// lastMoved is when bytes moved last, in the loop's time.
func (s *session) lastMoved() time.Duration {
	if s.tls != nil {
		s.moved = max(s.moved, s.accepted+time.Duration(s.tls.moved.Load()))
	}
	return s.moved
}

// tellTLS logs a fault of TLS with a server.
func (s *session) tellTLS(err error) { s.tellBackend("cannot use a server by TLS", err) }

// tellBackend logs a fault of a server that clients meet, at most once a second.
func (s *session) tellBackend(what string, err error) {
	if s.shard.server.mayTell(time.Now()) {
		s.shard.log.Warn(what, "listener", s.routing.listener.name, "pool", s.to.pool,
			"backend", s.backend, "error", err)
	}
}

// mayTell reports whether a line that traffic can cause at any rate may be logged:
// one in a second.
func (s *Server) mayTell(now time.Time) bool {
	last := s.told.Load()
	return now.UnixNano()-last >= int64(time.Second) && s.told.CompareAndSwap(last, now.UnixNano())
}
