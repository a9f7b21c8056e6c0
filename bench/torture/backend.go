package torture

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
)

// A backend is a server that can be killed, restarted and stalled. What it speaks
// is its serve function; its address stays the same throughout.
type backend struct {
	port   *port
	oracle *oracle
	serve  func(*backend, *peer)

	served atomic.Int64 // requests or sessions begun
	sent   atomic.Int64 // bytes of bodies that the kernel took
	active atomic.Int64 // requests being answered

	mu       sync.Mutex
	listener net.Listener
	peers    map[*peer]struct{}
	running  sync.WaitGroup
	stalled  chan struct{} // not nil while stalled; closed when it goes on
}

// peer is one accepted connection.
type peer struct {
	*net.TCPConn
	r *bufio.Reader
}

// reset closes the connection with an RST, as the kernel does for a process that
// was killed.
func (p *peer) reset() {
	_ = p.SetLinger(0)
	_ = p.Close()
}

func startBackend(o *oracle, serve func(*backend, *peer)) (*backend, error) {
	p, err := reservePort()
	if err != nil {
		return nil, err
	}
	b := &backend{port: p, oracle: o, serve: serve, peers: map[*peer]struct{}{}}
	if err := b.start(); err != nil {
		p.close()
		return nil, err
	}
	return b, nil
}

func (b *backend) addr() string { return b.port.addr }

// start begins to listen, after kill too.
func (b *backend) start() error {
	l, err := b.port.listen()
	if err != nil {
		return fmt.Errorf("cannot start a backend: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.listener = l
	b.running.Go(func() { b.accept(l) })
	return nil
}

func (b *backend) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		tcp, ok := c.(*net.TCPConn)
		if !ok || !b.take(l, tcp) {
			_ = c.Close()
		}
	}
}

// take serves a connection, unless l was closed meanwhile.
func (b *backend) take(l net.Listener, c *net.TCPConn) bool {
	p := &peer{c, bufio.NewReader(c)}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.listener != l {
		_ = c.SetLinger(0)
		return false
	}
	b.peers[p] = struct{}{}
	b.running.Go(func() {
		defer func() {
			_ = p.Close()
			b.mu.Lock()
			delete(b.peers, p)
			b.mu.Unlock()
		}()
		b.serve(b, p)
	})
	return true
}

// kill ends the backend as kill -9 would: nothing listens, every connection is reset.
func (b *backend) kill() {
	b.mu.Lock()
	l := b.listener
	b.listener = nil
	for p := range b.peers {
		p.reset()
	}
	b.mu.Unlock()
	if l != nil {
		_ = l.Close()
	}
}

// stall stops the backend as SIGSTOP would: connections are accepted by the kernel
// and nothing more happens. It returns what makes it go on, which may be called
// more than once.
func (b *backend) stall() (goOn func()) {
	gate := make(chan struct{})
	b.mu.Lock()
	b.stalled = gate
	b.mu.Unlock()
	return sync.OnceFunc(func() {
		b.mu.Lock()
		if b.stalled == gate {
			b.stalled = nil
		}
		b.mu.Unlock()
		close(gate)
	})
}

// wait returns when the backend is not stalled.
func (b *backend) wait() {
	b.mu.Lock()
	gate := b.stalled
	b.mu.Unlock()
	if gate != nil {
		<-gate
	}
}

// close ends the backend for good. It must not be stalled.
func (b *backend) close() {
	b.kill()
	b.running.Wait()
	b.port.close()
}

// startBackends starts n backends alike.
func startBackends(o *oracle, n int, serve func(*backend, *peer)) ([]*backend, error) {
	var all []*backend
	for range n {
		b, err := startBackend(o, serve)
		if err != nil {
			closeBackends(all)
			return nil, err
		}
		all = append(all, b)
	}
	return all, nil
}

func closeBackends(all []*backend) {
	for _, b := range all {
		b.close()
	}
}

// restart brings back a backend that was killed.
func (b *backend) restart(ctx context.Context) error {
	for {
		err := b.start()
		if err == nil || !pause(ctx, retryPause) {
			return err
		}
	}
}
