package torture

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
)

// The row in which the name of the handshake and the Host of a request differ.

// misdirected are hosts that no certificate of Weir stands for.
var misdirected = []string{"stranger.example", "a.b.test", "test", "other.example.test.example"}

// nameAndHost: a host is served under another name of the certificates, however it
// is written, and no other host is; a ticket of one name opens no other one.
func nameAndHost(s *scene) error {
	before := s.pool[0].served.Load()
	served := int64(0)
	f := func(name, host string, status int) error {
		c := s.webClient(name, true)
		defer c.close()
		if err := c.connect(s.patience()); err != nil {
			return fmt.Errorf("the name %s: %w", name, err)
		}
		class := refused
		if status == http.StatusOK {
			class = right
			served++
		}
		c.host = host
		if err := want(c.do(request{how: "whole", n: 100}), class, status); err != nil {
			return fmt.Errorf("the name %s, the host %s: %w", name, host, err)
		}
		return nil
	}
	own := s.host()
	err := errors.Join(
		f(own, own, http.StatusOK),
		f(own, strings.ToUpper(own)+".:443", http.StatusOK),
		f(serverName, own, http.StatusOK),
		f("other.test", own, http.StatusOK),
		f(otherName, own, http.StatusOK),
	)
	for _, host := range misdirected {
		const status = http.StatusMisdirectedRequest
		err = errors.Join(err, f(own, host, status), f(otherName, host, status))
	}
	if n := s.pool[0].served.Load() - before; err == nil && n != served {
		return fmt.Errorf("the backend saw %d requests, want %d", n, served)
	}
	return errors.Join(err, s.foreignTicket())
}

// ticketCache keeps the last session and offers it to every name.
type ticketCache struct {
	last atomic.Pointer[tls.ClientSessionState]
}

func (c *ticketCache) Get(string) (*tls.ClientSessionState, bool) {
	s := c.last.Load()
	return s, s != nil
}

func (c *ticketCache) Put(_ string, s *tls.ClientSessionState) {
	if s != nil {
		c.last.Store(s)
	}
}

// foreignTicket takes the ticket of one name to another one.
func (s *scene) foreignTicket() error {
	cache := &ticketCache{}
	for _, step := range []struct {
		name, host string
		status     int
	}{
		{s.host(), s.host(), http.StatusOK},
		{otherName, misdirected[0], http.StatusMisdirectedRequest},
		{otherName, s.host(), http.StatusOK},
	} {
		c := s.webClient(step.name, true)
		c.tickets = cache
		class := refused
		if step.status == http.StatusOK {
			class = right
		}
		if err := c.connect(s.patience()); err != nil {
			return fmt.Errorf("the name %s with a ticket: %w", step.name, err)
		}
		c.host = step.host
		a := c.do(request{how: "whole", n: 100})
		c.close()
		if err := want(a, class, step.status); err != nil {
			return fmt.Errorf("the name %s with a ticket, the host %s: %w", step.name, step.host, err)
		}
	}
	return nil
}
