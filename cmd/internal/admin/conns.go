package admin

import (
	"net"
	"net/http"
	"slices"
	"sync"
)

// maxConns bounds what the admin side may take of the process's descriptors.
const maxConns = 64

// limitedListener lets maxConns connections exist at a time; more wait in the
// kernel's queue. While one waits, connections on which nothing is asked make way,
// the oldest first: whoever can connect could keep the administrator out otherwise.
type limitedListener struct {
	net.Listener
	slots  chan struct{}
	closed chan struct{}
	once   sync.Once

	mu     sync.Mutex
	idle   []net.Conn // as the server knows them, without a request, the oldest first
	wanted bool       // Accept waits for a slot
}

func limitConns(l net.Listener) *limitedListener {
	return &limitedListener{Listener: l, slots: make(chan struct{}, maxConns), closed: make(chan struct{})}
}

func (l *limitedListener) Accept() (net.Conn, error) {
	if err := l.take(); err != nil {
		return nil, err
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &limitedConn{Conn: conn, release: sync.OnceFunc(func() { <-l.slots })}, nil
}

// take waits for a slot.
func (l *limitedListener) take() error {
	select {
	case l.slots <- struct{}{}:
		return nil
	default:
	}
	l.makeRoom()
	select {
	case l.slots <- struct{}{}:
		l.mu.Lock()
		l.wanted = false
		l.mu.Unlock()
		return nil
	case <-l.closed:
		return net.ErrClosed
	}
}

// makeRoom closes the oldest idle connection, or the next that becomes idle.
func (l *limitedListener) makeRoom() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.wanted = len(l.idle) == 0; !l.wanted {
		_ = l.idle[0].Close() // the server will see it and say so
		l.idle = l.idle[1:]
	}
}

// track is http.Server.ConnState.
func (l *limitedListener) track(c net.Conn, state http.ConnState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if state != http.StateNew && state != http.StateIdle {
		l.idle = slices.DeleteFunc(l.idle, func(o net.Conn) bool { return o == c })
		return
	}
	if l.wanted {
		l.wanted = false
		_ = c.Close()
		return
	}
	l.idle = append(l.idle, c)
}

func (l *limitedListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// limitedConn gives its slot back when it is closed.
type limitedConn struct {
	net.Conn
	release func()
}

func (c *limitedConn) Close() error {
	c.release()
	return c.Conn.Close()
}
