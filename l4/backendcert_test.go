package l4

import (
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"weir/conf"
)

// A server that requires a certificate of Weir gets that of the pool. Without the right
// one the client's session ends with a reason of its own, the log has the server's words,
// and the server's health does not suffer.
func TestBackendWantsCertificate(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	_, own := a.issue("b.example.com", time.Hour)
	right, _ := a.issue("weir", time.Hour)
	stale, _ := a.issue("stale", -time.Hour)
	foreign, _ := other.issue("weir", time.Hour)
	f := func(what string, cert conf.Cert, version uint16, wants ...string) {
		t.Helper()
		ok := len(wants) == 0
		config := &tls.Config{
			Certificates: []tls.Certificate{own}, ClientCAs: a.pool, ClientAuth: tls.RequireAndVerifyClientCert,
			MaxVersion: version,
		}
		p := poolOf("p", origin(t, func(raw *net.TCPConn) {
			conn := tls.Server(raw, config)
			if conn.Handshake() == nil {
				io.WriteString(conn, conn.ConnectionState().PeerCertificates[0].Subject.CommonName)
			} else {
				raw.CloseWrite()
				io.Copy(io.Discard, raw) // so that no reset overtakes the alert
			}
			conn.Close()
		}))
		p.TLS = a.trusting("b.example.com")
		p.TLS.Cert, p.TLS.Key = cert.Cert, cert.Key
		w := newWorld(t, worldOptions{}, p)
		addr := w.simple(conf.L4{})
		if ok {
			c := dial(t, addr)
			wantEnd(t, c, "weir")
			c.Close()
			w.closed(reasonDone)
			return
		}
		for i := range uint64(7) { // more than eject a server
			turnedAway(t, addr)
			w.until(what, func() bool { return w.closedCount(reasonBackendTLS) == i+1 })
		}
		for _, want := range append(wants, "cannot use a server by TLS", "listener=t", "pool=p", "backend=127.0.0.1") {
			if !strings.Contains(w.log.String(), want) {
				t.Errorf("%s, %s: the log lacks %q:\n%s", what, tls.VersionName(version), want, w.log.String())
			}
		}
		if !w.reg.Group("p").Members()[0].Endpoint().Usable() {
			t.Errorf("%s: the server was ejected", what)
		}
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		f("the right one", right, version)
		f("another authority's", foreign, version, "remote error: tls:")
		f("an expired one", stale, version, "remote error: tls:")
	}
	f("none", conf.Cert{}, tls.VersionTLS12, "remote error: tls:")
	f("none", conf.Cert{}, tls.VersionTLS13, "remote error: tls: certificate required")
}
