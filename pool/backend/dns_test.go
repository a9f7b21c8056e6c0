package backend

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"weir/conf"
)

// fakeDNS is a name server on loopback. Each question is answered by answer, which
// may change while it runs.
type fakeDNS struct {
	t   *testing.T
	udp net.PacketConn
	tcp net.Listener
	wg  sync.WaitGroup

	mu     sync.Mutex
	answer func(q dnsmessage.Question, tcp bool) fakeAnswer
	asked  []string
}

// fakeAnswer is what the server sends. Records are "name ttl type value".
type fakeAnswer struct {
	rcode     dnsmessage.RCode
	records   []string
	truncated bool
	silent    bool
	mangle    func(msg []byte) [][]byte // the packets to send instead
}

func records(list ...string) fakeAnswer { return fakeAnswer{records: list} }

func newFakeDNS(t *testing.T, answer func(q dnsmessage.Question, tcp bool) fakeAnswer) *fakeDNS {
	t.Helper()
	s := &fakeDNS{t: t, answer: answer}
	for try := 0; ; try++ {
		var err error
		if s.tcp, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		if s.udp, err = net.ListenPacket("udp", s.tcp.Addr().String()); err == nil {
			break
		}
		_ = s.tcp.Close()
		if try == 20 {
			t.Fatal(err)
		}
	}
	s.wg.Go(s.serveUDP)
	s.wg.Go(s.serveTCP)
	t.Cleanup(func() {
		_ = s.udp.Close()
		_ = s.tcp.Close()
		s.wg.Wait()
	})
	return s
}

func (s *fakeDNS) addr() conf.Addr {
	a := netip.MustParseAddrPort(s.tcp.Addr().String())
	return conf.Addr{Network: "tcp", Host: a.Addr().String(), Port: a.Port()}
}

func (s *fakeDNS) conf() conf.DNS {
	return conf.DNS{Servers: []conf.Addr{s.addr()}, Timeout: 5 * time.Second}
}

func (s *fakeDNS) set(answer func(q dnsmessage.Question, tcp bool) fakeAnswer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

func (s *fakeDNS) serveUDP() {
	buf := make([]byte, 4096)
	for {
		n, from, err := s.udp.ReadFrom(buf)
		if err != nil {
			return
		}
		for _, packet := range s.respond(buf[:n], false) {
			_, _ = s.udp.WriteTo(packet, from)
		}
	}
}

func (s *fakeDNS) serveTCP() {
	for {
		c, err := s.tcp.Accept()
		if err != nil {
			return
		}
		s.wg.Go(func() {
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(10 * time.Second))
			var size [2]byte
			if _, err := io.ReadFull(c, size[:]); err != nil {
				return
			}
			msg := make([]byte, binary.BigEndian.Uint16(size[:]))
			if _, err := io.ReadFull(c, msg); err != nil {
				return
			}
			for _, packet := range s.respond(msg, true) {
				_, _ = c.Write(binary.BigEndian.AppendUint16(nil, uint16(len(packet))))
				_, _ = c.Write(packet)
			}
		})
	}
}

func (s *fakeDNS) respond(msg []byte, tcp bool) [][]byte {
	var p dnsmessage.Parser
	h, err := p.Start(msg)
	if err != nil {
		return nil
	}
	q, err := p.Question()
	if err != nil {
		return nil
	}
	s.mu.Lock()
	a := s.answer(q, tcp)
	s.asked = append(s.asked, fmt.Sprintf("%s %s", q.Name, strings.TrimPrefix(q.Type.String(), "Type")))
	s.mu.Unlock()
	if a.silent {
		return nil
	}
	out := buildReply(h.ID, q, a)
	if a.mangle != nil {
		return a.mangle(out)
	}
	return [][]byte{out}
}

// buildReply makes the message that answers q.
func buildReply(id uint16, q dnsmessage.Question, a fakeAnswer) []byte {
	m := dnsmessage.Message{
		Header: dnsmessage.Header{
			ID: id, Response: true, RecursionAvailable: true, RCode: a.rcode, Truncated: a.truncated,
		},
		Questions: []dnsmessage.Question{q},
	}
	for _, line := range a.records {
		var name, kind, value string
		var ttl uint32
		if _, err := fmt.Sscan(line, &name, &ttl, &kind, &value); err != nil {
			panic(line + ": " + err.Error())
		}
		r := dnsmessage.Resource{Header: dnsmessage.ResourceHeader{
			Name: dnsmessage.MustNewName(name), Class: dnsmessage.ClassINET, TTL: ttl,
		}}
		switch kind {
		case "A":
			r.Body = &dnsmessage.AResource{A: netip.MustParseAddr(value).As4()}
		case "AAAA":
			r.Body = &dnsmessage.AAAAResource{AAAA: netip.MustParseAddr(value).As16()}
		case "CNAME":
			r.Body = &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName(value)}
		}
		m.Answers = append(m.Answers, r)
	}
	out, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return out
}

// only answers questions of type A and says that there is nothing else.
func only(a fakeAnswer) func(dnsmessage.Question, bool) fakeAnswer {
	return func(q dnsmessage.Question, _ bool) fakeAnswer {
		if q.Type != dnsmessage.TypeA && a.rcode == 0 && !a.silent {
			return fakeAnswer{}
		}
		return a
	}
}

// lookupResult words the outcome of a lookup: "addresses ttl" or the error.
func lookupResult(r *resolver, host string) string {
	a, err := r.lookup(context.Background(), host)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(a.addrs, " ", a.ttl)
}

func TestLookup(t *testing.T) {
	f := func(what string, answer func(dnsmessage.Question, bool) fakeAnswer, want string) {
		t.Helper()
		s := newFakeDNS(t, answer)
		r := newResolver(s.conf())
		if got := lookupResult(r, "app.test"); !strings.Contains(got, want) {
			t.Errorf("%s: got %q, want %q", what, got, want)
		}
	}

	f("one address", only(records("app.test. 60 A 127.0.0.1")), "[127.0.0.1] 1m0s")
	f("sorted, no duplicates", only(records(
		"app.test. 60 A 127.0.0.2", "app.test. 60 A 127.0.0.1", "app.test. 60 A 127.0.0.2")), "[127.0.0.1 127.0.0.2]")
	f("the shortest TTL", only(records("app.test. 60 A 127.0.0.2", "app.test. 20 A 127.0.0.1")), " 20s")
	f("TTL below the minimum", only(records("app.test. 0 A 127.0.0.1")), " 1s")
	f("TTL above the maximum", only(records("app.test. 90000 A 127.0.0.1")), " 5m0s")
	f("TTL with the high bit", only(records("app.test. 4294967295 A 127.0.0.1")), " 1s")
	f("other case", only(records("APP.Test. 60 A 127.0.0.1")), "[127.0.0.1]")
	f("alias", only(records("app.test. 60 CNAME b.test.", "b.test. 30 A 127.0.0.1")), "[127.0.0.1] 30s")
	f("alias last", only(records("b.test. 30 A 127.0.0.1", "app.test. 9 CNAME b.test.")), "[127.0.0.1] 9s")
	f("another owner", only(records("b.test. 30 A 127.0.0.1")), errNoAddress.Error())
	f("blanked", only(records("app.test. 30 A 0.0.0.0")), errNoAddress.Error())

	f("alias of itself", only(records("app.test. 60 CNAME app.test.")), "go in a circle")
	f("circle", only(records("app.test. 60 CNAME b.test.", "b.test. 60 CNAME app.test.")), "go in a circle")
	chain := func(n int) []string {
		list := []string{"app.test. 60 CNAME 0.test."}
		for i := range n - 1 {
			list = append(list, fmt.Sprintf("%d.test. 60 CNAME %d.test.", i, i+1))
		}
		return append(list, fmt.Sprintf("%d.test. 60 A 127.0.0.1", n-1))
	}
	f("8 aliases", only(records(chain(8)...)), "[127.0.0.1]")
	f("9 aliases", only(records(chain(9)...)), "more than 8 CNAME records")

	f("NXDOMAIN", only(fakeAnswer{rcode: dnsmessage.RCodeNameError}), errNoAddress.Error())
	f("SERVFAIL", only(fakeAnswer{rcode: dnsmessage.RCodeServerFailure}), "the server answers ServerFailure")
	f("REFUSED", only(fakeAnswer{rcode: dnsmessage.RCodeRefused}), "the server answers Refused")
	f("FORMERR", only(fakeAnswer{rcode: dnsmessage.RCodeFormatError}), "does not understand")
}

func TestLookupTruncated(t *testing.T) {
	var list []string
	for i := range 200 {
		list = append(list, fmt.Sprintf("app.test. 60 A 127.0.1.%d", i))
	}
	s := newFakeDNS(t, func(q dnsmessage.Question, tcp bool) fakeAnswer {
		if q.Type != dnsmessage.TypeA {
			return fakeAnswer{}
		}
		if !tcp {
			return fakeAnswer{truncated: true}
		}
		return records(list...)
	})
	a, err := newResolver(s.conf()).lookup(context.Background(), "app.test")
	if err != nil || len(a.addrs) != maxAddrs {
		t.Errorf("got %d addresses, %v, want %d", len(a.addrs), err, maxAddrs)
	}

	s.set(only(fakeAnswer{truncated: true}))
	if got := lookupResult(newResolver(s.conf()), "app.test"); !strings.Contains(got, "cut short by TCP too") {
		t.Errorf("truncated by TCP: %s", got)
	}
}

func TestLookupIgnoresStrays(t *testing.T) {
	forge := func(msg []byte) [][]byte {
		wrongID := append([]byte(nil), msg...)
		wrongID[0] ^= 0xff
		question := append([]byte(nil), msg...)
		question[13] ^= 'a' ^ 'z' // another name
		query := append([]byte(nil), msg...)
		query[2] &^= 0x80
		return [][]byte{{}, {1, 2, 3}, wrongID, question, query, msg}
	}
	a := records("app.test. 60 A 127.0.0.1")
	a.mangle = forge
	s := newFakeDNS(t, only(a))
	if got := lookupResult(newResolver(s.conf()), "app.test"); got != "[127.0.0.1] 1m0s" {
		t.Error(got)
	}
}

func TestLookupWithoutEDNS(t *testing.T) {
	s := newFakeDNS(t, nil)
	asked := 0
	s.set(func(q dnsmessage.Question, _ bool) fakeAnswer {
		if q.Type != dnsmessage.TypeA {
			return fakeAnswer{}
		}
		if asked++; asked == 1 {
			return fakeAnswer{rcode: dnsmessage.RCodeFormatError}
		}
		return records("app.test. 60 A 127.0.0.1")
	})
	if got := lookupResult(newResolver(s.conf()), "app.test"); got != "[127.0.0.1] 1m0s" {
		t.Error(got)
	}
}

func TestLookupNextServer(t *testing.T) {
	bad := newFakeDNS(t, only(fakeAnswer{rcode: dnsmessage.RCodeServerFailure}))
	good := newFakeDNS(t, only(records("app.test. 60 A 127.0.0.1")))
	c := good.conf()
	c.Servers = []conf.Addr{bad.addr(), good.addr()}
	if got := lookupResult(newResolver(c), "app.test"); got != "[127.0.0.1] 1m0s" {
		t.Error(got)
	}
}

func TestLookupTimeout(t *testing.T) {
	s := newFakeDNS(t, only(fakeAnswer{silent: true}))
	c := s.conf()
	c.Timeout = 20 * time.Millisecond
	_, err := newResolver(c).lookup(context.Background(), "app.test")
	if !errors.Is(err, errDNSTimeout) {
		t.Errorf("got %v, want a timeout", err)
	}
}

func TestLookupBothFamilies(t *testing.T) {
	s := newFakeDNS(t, func(q dnsmessage.Question, _ bool) fakeAnswer {
		if q.Type == dnsmessage.TypeAAAA {
			return fakeAnswer{rcode: dnsmessage.RCodeServerFailure}
		}
		return records("app.test. 60 A 127.0.0.1")
	})
	a, err := newResolver(s.conf()).lookup(context.Background(), "app.test")
	if err != nil || !a.lost6 || a.lost4 || len(a.addrs) != 1 {
		t.Errorf("AAAA fails: got %+v, %v", a, err)
	}
	// No answer to one question and a failure of the other do not mean that there is nothing.
	s.set(func(q dnsmessage.Question, _ bool) fakeAnswer {
		if q.Type == dnsmessage.TypeAAAA {
			return fakeAnswer{rcode: dnsmessage.RCodeServerFailure}
		}
		return fakeAnswer{}
	})
	_, err = newResolver(s.conf()).lookup(context.Background(), "app.test")
	if err == nil || errors.Is(err, errNoAddress) {
		t.Errorf("A empty, AAAA fails: got %v", err)
	}
}

func TestLookupLocalhost(t *testing.T) {
	r := newResolver(conf.DNS{Timeout: time.Millisecond})
	for _, name := range []string{"localhost", "localhost.", "app.localhost"} {
		a, err := r.lookup(context.Background(), name)
		if err != nil || !a.addrs[0].IsLoopback() {
			t.Errorf("%s: %v, %v", name, a.addrs, err)
		}
	}
}

func TestLookupSearchList(t *testing.T) {
	s := newFakeDNS(t, func(q dnsmessage.Question, _ bool) fakeAnswer {
		if q.Type == dnsmessage.TypeA && q.Name.String() == "app.two.test." {
			return records("app.two.test. 60 A 127.0.0.1")
		}
		return fakeAnswer{rcode: dnsmessage.RCodeNameError}
	})
	c := resolvConf{
		servers: []netip.AddrPort{netip.MustParseAddrPort(s.tcp.Addr().String())},
		search:  []string{"one.test.", "two.test."}, ndots: 1,
	}
	path := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := newResolver(conf.DNS{Timeout: 5 * time.Second})
	r.resolv = &watchedFile[resolvConf]{path: path, parse: func(string) resolvConf { return c }}
	if got := lookupResult(r, "app"); got != "[127.0.0.1] 1m0s" {
		t.Error(got)
	}
	if got := lookupResult(r, "app."); got != errNoAddress.Error() {
		t.Error(got)
	}
	// A server that fails ends the search: the next name could be another host.
	s.set(func(q dnsmessage.Question, _ bool) fakeAnswer {
		if q.Name.String() == "app.one.test." {
			return fakeAnswer{rcode: dnsmessage.RCodeServerFailure}
		}
		return records(q.Name.String() + " 60 A 127.0.0.1")
	})
	if got := lookupResult(r, "app"); !strings.Contains(got, "ServerFailure") {
		t.Error(got)
	}
}
