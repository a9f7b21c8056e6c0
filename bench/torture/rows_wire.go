package torture

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// The rows about what is said on the wire.

// statuses sends each request on a connection of its own and wants this status and,
// where it is an error, the end of the connection. No backend may see any of them.
func (s *scene) statuses(status int, requests ...string) error {
	before := s.pool[0].served.Load()
	for _, text := range requests {
		text = strings.ReplaceAll(text, "HOST", s.host())
		got, ended, err := s.raw(s.addr["web"], text)
		if err != nil || got != status || !ended {
			return fmt.Errorf("%.60q: status %d, ended %t (%s), want %d and the end",
				text, got, ended, why(err), status)
		}
	}
	if n := s.pool[0].served.Load() - before; n > 0 {
		return fmt.Errorf("%d requests of status %d reached a backend", n, status)
	}
	return nil
}

func tooLong(s *scene) error {
	const head = "GET /whole/1/1 HTTP/1.1\r\nHost: HOST\r\n"
	return errors.Join(
		s.statuses(431, head+"X: "+strings.Repeat("x", 33<<10)+"\r\n\r\n", head+strings.Repeat("X: 1\r\n", 101)+"\r\n"),
		s.statuses(414, "GET /"+strings.Repeat("x", 9<<10)+" HTTP/1.1\r\nHost: HOST\r\n\r\n"),
	)
}

func ambiguous(s *scene) error {
	const post = "POST /whole/1/1 HTTP/1.1\r\nHost: HOST\r\n"
	return errors.Join(s.statuses(
		400,
		post+"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		post+"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
		post+"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		post+"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
		post+"Connection: Content-Length\r\nContent-Length: 4\r\n\r\nabcd",
		"GET /whole/1/1 HTTP/1.1\r\nHost: HOST\r\nX: 1\r\n folded\r\n\r\n",
		"GET /whole/1/1 HTTP/1.1\nHost: HOST\n\n",
		"GET /whole/1/1 HTTP/1.1\r\nHost: HOST\r\nHost: b\r\n\r\n",
		"GET /whole/%2e%2e/1 HTTP/1.1\r\nHost: HOST\r\n\r\n",
	), s.statuses(505, "GET /whole/1/1 HTTP/9.9\r\nHost: HOST\r\n\r\n"))
}

func hopByHop(s *scene) error {
	c := s.fresh()
	a := c.do(request{how: "head", fields: "Connection: X-Hop\r\nX-Hop: 1\r\nX-Forwarded-For: 1.2.3.4\r\n"})
	return s.echoes(a, `hop=""`, `xff="127.0.0.1"`)
}

// echoes wants parts in what a backend said that it got.
func (s *scene) echoes(a answer, parts ...string) error {
	if err := want(a, right, 0); err != nil {
		return err
	}
	for _, p := range parts {
		if got := a.header.Get("Echoed"); !strings.Contains(got, p) {
			return fmt.Errorf("the backend got %s, want %s", got, p)
		}
	}
	return nil
}

func tunnels(s *scene) error {
	c := s.fresh()
	const fields = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n"
	a := c.do(request{how: "head", fields: fields})
	if err := s.echoes(a, `upgrade=""`); err != nil {
		return err
	}
	for _, text := range []string{
		"CONNECT db:5432 HTTP/1.1\r\nHost: db:5432\r\n\r\n",
		"TRACE /whole/1/1 HTTP/1.1\r\nHost: " + s.host() + "\r\n\r\n",
	} {
		if status, _, err := s.raw(s.addr["web"], text); status != 405 {
			return fmt.Errorf("%.20q: status %d (%s), want 405", text, status, why(err))
		}
	}
	return nil
}

// piecemeal writes a few bytes at a time.
type piecemeal struct {
	net.Conn
	step int
}

func (c piecemeal) Write(b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var k int
		k, err = c.Conn.Write(b[n:min(len(b), n+c.step)])
		n += k
	}
	return n, err
}

// splitHello: the name in the hello decides, however the hello is cut; one without
// end decides nothing, though there is a default pool.
func splitHello(s *scene) error {
	for _, step := range []int{1, 1 + s.rng.IntN(700)} {
		conn, err := dial(s.addr["edge"], patience)
		if err != nil {
			return err
		}
		_ = conn.SetNoDelay(true)
		c := tls.Client(piecemeal{conn, step}, &tls.Config{ServerName: serverName, RootCAs: s.identity.roots})
		var echo [4]byte
		_, err = io.WriteString(c, "ping")
		if err == nil {
			_, err = io.ReadFull(c, echo[:])
		}
		_ = conn.Close()
		if err != nil || string(echo[:]) != "ping" {
			return fmt.Errorf("a hello in pieces of %d: %q, %s", step, echo, why(err))
		}
	}
	begun := []string{"\x16", "\x16\x03\x01\x02\x00\x01", "\x16garbage that is no hello"}
	return all(len(begun), func(i int) error {
		c, err := dial(s.addr["edge"], patience)
		if err != nil {
			return err
		}
		defer c.Close() //nolint:errcheck // nothing is lost
		start := time.Now()
		if _, err := io.WriteString(c, begun[i]); err != nil {
			return err
		}
		n, err := io.Copy(io.Discard, c)
		if n > 0 || timedOut(err) {
			return fmt.Errorf("a hello without end was answered with %d bytes, %s", n, why(err))
		}
		return s.note("end of an unfinished hello", time.Since(start), 1200*time.Millisecond)
	})
}
