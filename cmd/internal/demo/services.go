package demo

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	slowness  = 500 * time.Millisecond
	failEvery = 4                // every fourth answer of the flaky backend is a 500
	flakyUp   = 20 * time.Second // then it refuses connections
	flakyAway = 3 * time.Second
)

// service is one embedded server on a free port of loopback.
type service struct {
	name   string
	listen net.Listener
	http   *http.Server // nil: echo

	wg     sync.WaitGroup
	cancel context.CancelFunc
	mu     sync.Mutex // guards conns
	conns  map[net.Conn]struct{}
}

func (s *service) addr() string { return s.listen.Addr().String() }

func (d *Demo) startServices(db tls.Certificate) error {
	var n atomic.Uint64
	flaky := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/healthz" && n.Add(1)%failEvery == 0 {
			http.Error(w, "flaky: this one failed", http.StatusInternalServerError)
			return
		}
		greet("flaky", w, r)
	}
	slow := func(w http.ResponseWriter, r *http.Request) {
		wait := time.NewTimer(slowness)
		defer wait.Stop()
		select {
		case <-wait.C:
			greet("slow", w, r)
		case <-r.Context().Done():
		}
	}
	fast := func(w http.ResponseWriter, r *http.Request) { greet("fast", w, r) }
	for _, b := range []struct {
		name    string
		handler http.HandlerFunc
	}{{"fast", fast}, {"slow", slow}, {"flaky", flaky}} {
		s, err := d.add(b.name)
		if err != nil {
			return err
		}
		s.serveHTTP(b.handler)
	}
	echo, err := d.add("echo")
	if err != nil {
		return err
	}
	echo.serveEcho()
	tlsEcho, err := d.add("db")
	if err != nil {
		return err
	}
	tlsEcho.listen = tls.NewListener(tlsEcho.listen,
		&tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{db}})
	tlsEcho.serveEcho()
	return nil
}

func (d *Demo) add(name string) (*service, error) {
	l, err := net.Listen("tcp", loopback(0))
	if err != nil {
		return nil, fmt.Errorf("cannot start the demo service %q: %w", name, err)
	}
	s := &service{name: name, listen: l, conns: make(map[net.Conn]struct{}), cancel: func() {}}
	d.services = append(d.services, s)
	return s, nil
}

// greet shows which backend answered and what reached it.
func greet(name string, w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	var b strings.Builder
	fmt.Fprintf(&b, "hello from %s\n%s %s, Host: %s\n", name, r.Method, r.URL, r.Host)
	for _, h := range []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Request-Id"} {
		if v := r.Header.Get(h); v != "" {
			fmt.Fprintf(&b, "%s: %s\n", h, v)
		}
	}
	_, _ = io.WriteString(w, b.String()) // a client that went away needs no answer
}

func (s *service) serveHTTP(h http.HandlerFunc) {
	s.http = &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	if s.name == "flaky" {
		var ctx context.Context
		ctx, s.cancel = context.WithCancel(context.Background())
		s.listen = newMoody(ctx, &s.wg, s.listen, flakyUp, flakyAway)
	}
	s.wg.Go(func() { _ = s.http.Serve(s.listen) }) // ends with close
}

// serveEcho sends back what it gets. To somebody who speaks HTTP it says who it is,
// so that curl can show what a client sees.
func (s *service) serveEcho() {
	s.wg.Go(func() {
		for {
			c, err := s.listen.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns[c] = struct{}{}
			s.mu.Unlock()
			s.wg.Go(func() { s.echo(c) })
		}
	})
}

func (s *service) echo(c net.Conn) {
	defer func() {
		_ = recover() // a demo goes on
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
		_ = c.Close()
	}()
	r := bufio.NewReader(c)
	first, err := r.ReadString('\n')
	if err == nil && strings.Contains(first, " HTTP/1.") {
		if _, err := http.ReadRequest(bufio.NewReader(io.MultiReader(strings.NewReader(first), r))); err != nil {
			return
		}
		text := "hello from " + s.name + ", an echo service\n"
		_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n"+
			"Connection: close\r\n\r\n%s", len(text), text)
		return
	}
	if _, err := io.WriteString(c, first); err == nil {
		_, _ = io.Copy(c, r)
	}
}

// close ends the service and waits for its goroutines.
func (s *service) close() error {
	s.cancel()
	var err error
	if s.http != nil {
		err = s.http.Close()
	}
	if e := s.listen.Close(); e != nil && !errors.Is(e, net.ErrClosed) {
		err = errors.Join(err, e)
	}
	s.mu.Lock()
	for c := range s.conns {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
	return err
}
