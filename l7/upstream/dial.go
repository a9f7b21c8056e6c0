package upstream

import (
	"context"
	"errors"
	"net"
	"syscall"

	"weir/l7/message"
	"weir/pool/backend"
)

// dial makes a new connection.
func (t *Transport) dial(tg *target) (*Conn, error) {
	fail := func(side message.Side, err error) (*Conn, error) {
		timeout := backend.Classify(err) == backend.ConnectTimeout
		return nil, &Error{Side: side, Stage: StageDial, Backend: tg.name, Timeout: timeout, Err: err}
	}
	n := t.countersOf(tg.group)
	p, generation, ok := t.poolOf(tg.endpoint)
	if !ok {
		return fail(message.Internal, ErrClosed)
	}
	ctx := context.Background()
	if tg.leaver != nil {
		ctx = leaving{ctx, tg.leaver.Watch()}
		defer tg.leaver.Unwatch()
	}
	// Probes are among the options of the pool.
	d := net.Dialer{Timeout: tg.connectTimeout, KeepAlive: -1, Control: tg.socket.Control}
	nc, err := d.DialContext(ctx, tg.network, tg.address)
	if tcp, ok := nc.(*net.TCPConn); ok && !tg.socket.NoDelay() {
		_ = tcp.SetNoDelay(false) // package net turned it on; what keeps this from working ends the exchange too
	}
	if err != nil && ctx.Err() != nil {
		return fail(message.Client, ErrAborted)
	}
	if err != nil {
		n.failures.Add(1)
		if tg.pool != nil {
			tg.pool.ConnectFailed(err)
		}
		if backend.Classify(err) == backend.LocalError {
			return fail(message.Internal, err)
		}
		return fail(message.Upstream, err)
	}
	if len(tg.header) > 0 {
		if _, err := nc.Write(tg.header); err != nil { // a fresh socket has room: it does not block
			n.failures.Add(1)
			_ = nc.Close() // the first error tells more
			return fail(message.Upstream, err)
		}
	}
	c := &Conn{t: t, nc: nc, idlePool: p, generation: generation}
	if tg.tls != nil {
		c.tlsID = tg.tls.ID()
		secure, under, err := handshake(ctx, nc, tg)
		if err != nil && ctx.Err() != nil {
			return fail(message.Client, ErrAborted)
		}
		if err != nil {
			n.failures.Add(1)
			t.tell(tg, err)
			return fail(message.Upstream, err)
		}
		c.nc, c.wire = secure, under
	}
	c.raw, err = nc.(syscall.Conn).SyscallConn()
	if err != nil {
		c.close()
		return fail(message.Internal, err)
	}
	c.peekFn, c.receiveFn = c.peek, c.receive
	n.dials.Add(1)
	c.lend(n, tg, false)
	return c, nil
}

// leaving is a context that ends when a channel is closed.
type leaving struct {
	context.Context
	left <-chan struct{}
}

func (l leaving) Done() <-chan struct{} { return l.left }

func (l leaving) Err() error {
	select {
	case <-l.left:
		return context.Canceled
	default:
		return nil
	}
}

// dialOutcome is what an error of dial means for the member.
func dialOutcome(err error) backend.Outcome {
	if ue, ok := errors.AsType[*Error](err); ok {
		if ue.Side == message.Internal {
			return backend.LocalError
		}
		if backend.IsTLSFault(ue.Err) {
			return backend.LocalError // one of settings, on either side
		}
		return backend.Classify(ue.Err)
	}
	return backend.LocalError
}
