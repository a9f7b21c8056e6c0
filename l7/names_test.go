package l7

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// nameServer answers every question for app.test as it is told: with an address, with
// "nxdomain", or with "circle", a CNAME record that leads to itself.
func nameServer(t *testing.T, say *atomic.Value) (addr string, asked *atomic.Int32) {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	asked = new(atomic.Int32)
	var wg sync.WaitGroup
	wg.Go(func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			asked.Add(1)
			if b, err := nameAnswer(&m, say.Load().(string)); err == nil {
				pc.WriteTo(b, from)
			}
		}
	})
	t.Cleanup(func() {
		pc.Close()
		wg.Wait()
	})
	return pc.LocalAddr().String(), asked
}

func nameAnswer(m *dnsmessage.Message, say string) ([]byte, error) {
	q := m.Questions[0]
	r := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: m.ID, Response: true, RecursionAvailable: true},
		Questions: m.Questions,
	}
	header := dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, TTL: 1}
	switch {
	case say == "nxdomain":
		r.RCode = dnsmessage.RCodeNameError
	case say == "circle":
		header.Type = dnsmessage.TypeCNAME
		r.Answers = []dnsmessage.Resource{{Header: header, Body: &dnsmessage.CNAMEResource{CNAME: q.Name}}}
	case q.Type == dnsmessage.TypeA:
		header.Type = dnsmessage.TypeA
		a := &dnsmessage.AResource{A: netip.MustParseAddr(say).As4()}
		r.Answers = []dnsmessage.Resource{{Header: header, Body: a}}
	}
	return r.Pack()
}

// listenOn serves fixed answers on an address and a port.
func listenOn(t *testing.T, address, answer string) (port int) {
	t.Helper()
	ln, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				c.SetDeadline(time.Now().Add(time.Minute))
				for br := bufio.NewReader(c); ; {
					if _, err := readHead(br); err != nil {
						return
					}
					fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(answer), answer)
				}
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		wg.Wait()
	})
	return ln.Addr().(*net.TCPAddr).Port
}

// TestRow18_NameChanges: a server's name leads to another address: requests follow it
// within its time to live. Where it leads nowhere, the last good address stays.
func TestRow18_NameChanges(t *testing.T) {
	t.Parallel()
	port := listenOn(t, "127.0.0.1:0", "one")
	listenOn(t, fmt.Sprintf("127.0.0.2:%d", port), "two")
	var say atomic.Value
	say.Store("127.0.0.1")
	dns, asked := nameServer(t, &say)
	config := fmt.Sprintf("[dns]\nservers = [%q]\ntimeout = \"500ms\"\nmin_ttl = \"1s\"\n"+plain, dns,
		fmt.Sprintf("app.test:%d", port))
	r := newRig(t, "%s", config)
	c := r.dial()
	get := func() string {
		t.Helper()
		res, body := c.get("/")
		if res.StatusCode != 200 {
			t.Fatalf("got %d %q\n%s", res.StatusCode, body, r.log)
		}
		return body
	}
	if body := get(); body != "one" {
		t.Fatalf("got %q", body)
	}
	say.Store("127.0.0.2")
	began := time.Now()
	eventually(t, "the new address", func() bool { return get() == "two" })
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("it took %v, the time to live is a second", took)
	}
	for _, trouble := range []string{"nxdomain", "circle"} {
		say.Store(trouble)
		before := asked.Load()
		eventually(t, "questions", func() bool { return asked.Load() >= before+4 })
		for range 20 {
			if body := get(); body != "two" {
				t.Fatalf("%s: got %q", trouble, body)
			}
		}
	}
	say.Store("127.0.0.1")
	eventually(t, "the first address again", func() bool { return get() == "one" })
}
