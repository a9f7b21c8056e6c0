package origin

import (
	"fmt"
	"log/slog"
	"net/netip"

	"golang.org/x/sys/unix"

	"weir/l4/loop"
)

// An echoer sends datagrams back to whom they are from, on one loop.
type echoer struct {
	loop  *loop.Loop
	fd    int
	batch *loop.Batch
}

// startUDP starts the loops, each with a socket of its own on the same port.
func startUDP(addr netip.AddrPort, opts Options) (*Origin, error) {
	if opts.Stall.For > 0 {
		return nil, fmt.Errorf("%s cannot stall: http and echo can", opts.Kind)
	}
	o := &Origin{}
	var echoers []*echoer
	o.close = func() {
		for _, e := range echoers {
			e.close()
		}
	}
	for range opts.Loops {
		fd, bound, err := bind(addr, unix.SOCK_DGRAM)
		if err != nil {
			o.close()
			return nil, fmt.Errorf("cannot listen on %s: %w", addr, err)
		}
		addr = bound // the others share the port that the first one got
		e, err := newEchoer(fd)
		if err != nil {
			loop.CloseSocket(fd)
			o.close()
			return nil, err
		}
		echoers = append(echoers, e)
	}
	o.addr = addr
	return o, nil
}

// newEchoer owns fd unless it returns an error.
func newEchoer(fd int) (*echoer, error) {
	if err := loop.PrepareDatagrams(fd); err != nil {
		return nil, err
	}
	l, err := loop.New(slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	e := &echoer{loop: l, fd: fd, batch: loop.NewBatch()}
	failed := make(chan error, 1)
	l.Do(func() { failed <- l.WatchReads(fd, e) })
	if err := <-failed; err != nil {
		l.Close()
		return nil, err
	}
	return e, nil
}

// Ready implements [loop.Handler]. What cannot be sent is lost: it is UDP.
func (e *echoer) Ready(int, loop.Events) {
	n, errno := e.batch.Receive(e.fd)
	if errno != 0 {
		return
	}
	for i := range n {
		client := e.batch.Client(i)
		_, _ = e.batch.Send(e.fd, 1<<i, &client)
	}
}

// Abort implements [loop.Handler].
func (e *echoer) Abort() {}

func (e *echoer) close() {
	e.loop.Do(func() { e.loop.CloseFD(e.fd) })
	e.loop.Close()
}
