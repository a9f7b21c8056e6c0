package l4

import (
	"crypto/rand"
	"encoding/hex"
	"strings"

	"golang.org/x/sys/unix"

	"weir/l4/sniff"
	"weir/pool/backend"
)

// announce tells the backend who the client is, where its pool says so: a PROXY
// header is the first thing that goes out. It reports false where that failed, and the
// session went on to the next member or ended.
func (s *session) announce() bool {
	b := s.header(s.to.group, s.shard.loop.Scratch()[:0])
	if len(b) == 0 {
		return true
	}
	// A fresh socket has room for it; one that has not is of no use.
	if n, errno := s.shard.loop.Write(s.server.fd, b); errno != 0 || n != len(b) {
		s.unanswered(unix.ECONNRESET)
		return false
	}
	return true
}

// header appends the PROXY header that the servers of g want, if they want one.
func (s *session) header(g *backend.Group, b []byte) []byte {
	switch g.Conf().ProxyProtocol {
	case "v1":
		c := s.introduce()
		b = c.AppendV1(b)
	case "v2":
		c := s.introduce()
		s.describe(&c)
		b = c.AppendV2(b)
	}
	return b
}

// introduce gives the addresses: those that a header brought, else those of the
// client's connection.
func (s *session) introduce() sniff.ProxyClient {
	c := sniff.ProxyClient{Source: s.peer}
	if s.proxied != nil {
		c.Destination, c.TLVs = s.proxied.destination, s.proxied.tlvs
	}
	switch {
	case c.Destination.IsValid():
	case s.tls != nil: // the loop has the connection no more
		c.Destination = s.tls.client.LocalAddrPort()
	default:
		c.Destination = s.shard.loop.LocalAddr(s.client.fd)
	}
	return c
}

// describe adds what a TLS hello said, which is still held for the backend, and an
// id. The protocol is known only where the client offered no choice.
func (s *session) describe(c *sniff.ProxyClient) {
	var random [16]byte
	_, _ = rand.Read(random[:]) // never fails
	c.UniqueID = hex.AppendEncode(nil, random[:])
	if f := s.facts; f != nil {
		c.Authority, c.ALPN = []byte(s.sni), []byte(f.alpn)
		c.TLS = &sniff.ProxyTLS{
			Version: strings.Replace(f.version, " ", "v", 1), Cipher: f.cipher,
			Verified: f.subject != "", CommonName: f.name,
		}
		return
	}
	up, hello := &s.up, &s.shard.hello
	start := up.off + int(s.prologue.asked)
	if up.buf == nil || sniff.ClientHello(up.buf.B[start:up.end], len(up.buf.B)+1, hello) != sniff.Done {
		return
	}
	c.Authority = hello.SNI()
	offers := 0
	for protocol := range hello.ALPN {
		offers++
		c.ALPN = protocol
	}
	if offers != 1 {
		c.ALPN = nil
	}
}
