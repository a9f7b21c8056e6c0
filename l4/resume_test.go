package l4

import (
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"testing"
	"time"

	"weir/conf"
)

// visit makes one session and returns what its handshake agreed on, or its error. The
// bytes that come back prove that a ticket was read before.
func visit(t *testing.T, addr string, c *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	conn := tls.Client(dial(t, addr), c)
	defer conn.Close()
	if err := conn.Handshake(); err != nil {
		return tls.ConnectionState{}, err
	}
	_, err := conn.Write([]byte("x"))
	if err == nil {
		_, err = conn.Read(make([]byte, 1))
	}
	return conn.ConnectionState(), err
}

// remembering is a client that resumes its sessions.
func (a *authority) remembering(version uint16, certs ...tls.Certificate) *tls.Config {
	return &tls.Config{
		ServerName: "a.example.com", RootCAs: a.pool, Certificates: certs, MinVersion: version, MaxVersion: version,
		ClientSessionCache: tls.NewLRUClientSessionCache(1),
	}
}

// Clients resume their sessions, also after a reload that changes nothing of the TLS. A
// new certificate ends that.
func TestResumption(t *testing.T) {
	a := newAuthority(t)
	w := newWorld(t, worldOptions{}, poolOf("p", origin(t, echo)))
	listener := conf.L4{Pool: "p", TLS: a.tls("a.example.com"), Mode: terminating}
	addr := w.simple(listener)
	clients := []*tls.Config{a.remembering(tls.VersionTLS12), a.remembering(tls.VersionTLS13)}
	f := func(when string, want bool) {
		t.Helper()
		for _, c := range clients {
			if got, err := visit(t, addr, c); err != nil || got.DidResume != want {
				t.Errorf("%s, %s: resumed %v, %v, want %v", when, tls.VersionName(c.MinVersion), got.DidResume, err, want)
			}
		}
	}
	f("first", false)
	f("second", true)
	listener.MaxConns = 1000
	w.serve(w.l4(listener))
	f("after a reload", true)
	a.issue("a.example.com", time.Hour)
	w.serve(w.l4(listener))
	f("with a new certificate", false)
	f("once more", true)
	listener.TLS.MinVersion = "1.3"
	w.serve(w.l4(listener))
	if _, err := visit(t, addr, clients[0]); err == nil {
		t.Error("a ticket of TLS 1.2 was good for a listener that no longer speaks it")
	}
}

// A ticket is good only where it was given out: neither another listener nor one whose
// authorities changed takes it in place of a client certificate.
func TestTicketsAreNoCertificates(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	_, right := a.issue("app", time.Hour)
	_, foreign := other.issue("app", time.Hour)
	open := conf.L4{Name: "open", Pool: "p", TLS: a.tls("a.example.com"), Mode: terminating}
	closed := conf.L4{Name: "closed", Pool: "p", TLS: a.tls("a.example.com"), Mode: terminating}
	open.TLS.Certs = closed.TLS.Certs
	demand := func(c *conf.L4, ca string) {
		tls := *c.TLS
		tls.ClientCA, tls.ClientAuth = ca, "require"
		c.TLS = &tls
	}
	demand(&closed, a.file)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		w := newWorld(t, worldOptions{}, poolOf("p", origin(t, echo)))
		serve := func(listeners ...conf.L4) {
			var all []Listener
			for _, l := range listeners {
				all = append(all, w.l4(l))
			}
			w.serve(all...)
		}
		f := func(what string, c *tls.Config, name string, ok, resumed bool) {
			t.Helper()
			got, err := visit(t, w.srv.Addrs(name)[0], c)
			if (err == nil) != ok || got.DidResume != resumed {
				t.Errorf("%s, %s: resumed %v, %v", what, tls.VersionName(version), got.DidResume, err)
			}
			if _, alert := errors.AsType[*net.OpError](err); err != nil && !alert {
				t.Errorf("%s: %v, want an alert", what, err)
			}
		}
		serve(open, closed)
		stranger, member := a.remembering(version), a.remembering(version, right)
		f("no certificate is asked for", stranger, "open", true, false)
		f("the ticket is good there", stranger, "open", true, true)
		f("and not where one is required", stranger, "closed", false, false)

		f("a member", member, "closed", true, false)
		f("a member again", member, "closed", true, true)
		intruder := a.remembering(version, foreign)
		intruder.ClientSessionCache = member.ClientSessionCache // a stolen ticket has its key
		demanding := closed
		demand(&demanding, other.file)
		serve(open, demanding)
		member.Certificates = []tls.Certificate{right}
		f("the authority is another now", member, "closed", false, false)
		f("and believes others", intruder, "closed", true, false)
	}
}

// nameless files all sessions under one name, as no honest client does.
type nameless struct{ tls.ClientSessionCache }

func (n nameless) Get(string) (*tls.ClientSessionState, bool) { return n.ClientSessionCache.Get("") }

func (n nameless) Put(_ string, state *tls.ClientSessionState) { n.ClientSessionCache.Put("", state) }

// A ticket that was given out for one name says nothing about another one that asks for
// certificates; within a listener all names ask for the same,
// and who resumes is still who showed the certificate.
func TestTicketsAcrossNames(t *testing.T) {
	a := newAuthority(t)
	_, right := a.issue("app", time.Hour)
	b, _ := a.issue("b.example.com", time.Hour)
	w := newWorld(t, worldOptions{}, poolOf("p", origin(t, echo)))
	strict := conf.L4{Name: "strict", Pool: "p", TLS: a.tls("a.example.com"), Mode: terminating}
	strict.TLS.Certs = append(strict.TLS.Certs, b)
	strict.TLS.ClientCA, strict.TLS.ClientAuth = a.file, "require"
	w.serve(w.l4(conf.L4{Name: "lax", Pool: "p", TLS: a.tls("a.example.com"), Mode: terminating}), w.l4(strict))
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		client := func(certs ...tls.Certificate) *tls.Config {
			c := a.remembering(version, certs...)
			c.ClientSessionCache, c.InsecureSkipVerify = nameless{c.ClientSessionCache}, true
			return c
		}
		f := func(what string, c *tls.Config, listener, name string, ok bool) {
			t.Helper()
			c.ServerName = name
			if _, err := visit(t, w.srv.Addrs(listener)[0], c); (err == nil) != ok {
				t.Errorf("%s, %s: %v, want success %v", what, tls.VersionName(version), err, ok)
			}
		}
		stranger, member := client(), client(right)
		f("a ticket", stranger, "lax", "a.example.com", true)
		f("is shown for another name", stranger, "strict", "b.example.com", false)
		f("a ticket of a member", member, "strict", "a.example.com", true)
		f("is shown for another name of the listener", member, "strict", "b.example.com", true)
	}
}

// Towards servers sessions are resumed by server, though all have the same name, and
// with a client certificate.
func TestResumptionWithServers(t *testing.T) {
	a := newAuthority(t)
	files, right := a.issue("weir", time.Hour)
	_, own := a.issue("b.example.com", time.Hour)
	resumed := make(chan bool, 16)
	server := func() string {
		config := &tls.Config{
			Certificates: []tls.Certificate{own}, ClientCAs: a.pool, ClientAuth: tls.RequireAndVerifyClientCert,
		}
		return a.tlsOrigin(config, func(c *tls.Conn) {
			state := c.ConnectionState()
			if len(state.PeerCertificates) == 0 || !slices.Equal(state.PeerCertificates[0].Raw, right.Certificate[0]) {
				t.Error("the server saw another client certificate")
			}
			resumed <- state.DidResume
			b := make([]byte, 1)
			c.Read(b)
			c.Write(b)
			c.Read(b)
			c.Close()
		})
	}
	for _, version := range []string{"1.2", "1.3"} {
		p := poolOf("p", server(), server())
		p.TLS = a.trusting("b.example.com")
		p.TLS.Cert, p.TLS.Key, p.TLS.MaxVersion = files.Cert, files.Key, version
		w := newWorld(t, worldOptions{}, p)
		addr := w.simple(conf.L4{})
		for i := range 6 { // in turn
			c := dial(t, addr)
			send(t, c, "x")
			want(t, c, "x")
			c.CloseWrite()
			wantEnd(t, c, "")
			if got := <-resumed; got != (i >= 2) {
				t.Errorf("TLS %s, session %d: resumed %v", version, i, got)
			}
		}
	}
}
