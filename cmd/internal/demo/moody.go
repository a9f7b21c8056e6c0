package demo

import (
	"context"
	"net"
	"sync"
	"time"
)

// moody is a listener that is gone now and then: its port refuses connections, as
// that of a backend which is being restarted.
type moody struct {
	ctx   context.Context
	addr  net.Addr
	conns chan net.Conn
	up    time.Duration // how long it is there, then gone for
	away  time.Duration

	mu   sync.Mutex
	open net.Listener // nil while it is gone
}

// newMoody takes over l until ctx ends. wg counts its goroutines.
func newMoody(ctx context.Context, wg *sync.WaitGroup, l net.Listener, up, away time.Duration) *moody {
	m := &moody{ctx: ctx, addr: l.Addr(), conns: make(chan net.Conn), open: l, up: up, away: away}
	wg.Go(func() { m.accept(l) })
	wg.Go(func() { m.swing(wg) })
	return m
}

// swing closes and reopens the port until ctx ends.
func (m *moody) swing(wg *sync.WaitGroup) {
	for m.sleep(m.up) {
		_ = m.Close()
		for m.sleep(m.away) {
			// Somebody may have taken the port: then it stays away longer.
			if l, err := net.Listen("tcp", m.addr.String()); err == nil {
				m.mu.Lock()
				m.open = l
				m.mu.Unlock()
				wg.Go(func() { m.accept(l) })
				break
			}
		}
	}
	_ = m.Close()
}

// sleep waits and reports whether ctx goes on.
func (m *moody) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-m.ctx.Done():
		return false
	}
}

func (m *moody) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		select {
		case m.conns <- c:
		case <-m.ctx.Done():
			_ = c.Close()
			return
		}
	}
}

// Accept waits over the times when the port is closed.
func (m *moody) Accept() (net.Conn, error) {
	select {
	case c := <-m.conns:
		return c, nil
	case <-m.ctx.Done():
		return nil, net.ErrClosed
	}
}

// Close closes the port; the end of ctx ends Accept.
func (m *moody) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.open == nil {
		return nil
	}
	err := m.open.Close()
	m.open = nil
	return err
}

func (m *moody) Addr() net.Addr { return m.addr }
