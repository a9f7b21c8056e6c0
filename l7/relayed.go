package l7

import (
	"bytes"
	"net"
	"syscall"
	"time"

	"weir/l4/loop"
	"weir/l7/message"
	"weir/pool/accesslog"
	"weir/pool/backend"
	"weir/pool/metric"
)

// relayed is a tunnel that the loop of its client relays. It has no goroutine and no
// exchange any more: what is to be counted and logged at its end is here. It belongs to
// the goroutine of the connection until begin, and to the loop from then on.
type relayed struct {
	c       *conn
	l       *listener
	route   *routeState
	member  *backend.Member // holds one of its slots
	started time.Time
	status  int
	in, out uint64              // octets before the tunnel
	rec     *accesslog.L7Record // nil: there is no access log
}

// departure is a tunnel on its way from the goroutine of a connection to the loop.
type departure struct {
	*relayed
	tunnel loop.Tunnel
}

// leave gives the tunnel to the loop that accepted the client where that can be done:
// where neither side is TLS, which only a goroutine can speak, and there are
// descriptors. early and late are what the client and the server have sent already.
func (x *exchange) leave(server net.Conn, early, late []byte) (left bool) {
	c := x.c
	socket, plain := server.(syscall.Conn)
	if x.s.relay == nil || c.from.Loop == nil || c.secured != nil || !plain {
		return false
	}
	fd, err := loop.Extract(socket)
	if err != nil {
		return false
	}
	if !c.detach() {
		loop.CloseSocket(fd)
		if !c.rouse() {
			c.cancel() // the server is being closed
		}
		return false
	}
	t := x.newRelayed()
	_ = server.Close() // the connection lives on in fd
	tcp := server.RemoteAddr().Network() == "tcp"
	x.departs = &departure{t, loop.Tunnel{
		Client: loop.TunnelEnd{
			FD: c.from.FD, TCP: c.from.Remote.IsValid(), Data: append(bytes.Clone(early), c.from.Data...),
		},
		Server: loop.TunnelEnd{FD: fd, TCP: tcp, Data: late},
		Idle:   x.route.conf.TunnelIdleTimeout,
		Info:   x.tunnelInfo(),
		Done:   t.done,
	}}
	x.member = nil // t's from now on
	c.from.FD, c.from.Data = -1, nil
	return true
}

// tunnelInfo says whose the tunnel is that the exchange becomes.
func (x *exchange) tunnelInfo() loop.TunnelInfo {
	kind := "websocket"
	if x.req.Connect {
		kind = "connect"
	}
	return loop.TunnelInfo{
		Kind: kind, Listener: x.l.name, Client: x.client, SNI: x.c.from.SNI,
		Route: x.route.name, Pool: x.route.pool, Backend: x.backend,
	}
}

// newRelayed does what an exchange does in its last step as far as that can be known
// at the beginning of a tunnel.
func (x *exchange) newRelayed() *relayed {
	t := &relayed{
		c: x.c, l: x.l, route: x.route, member: x.member, started: x.started, status: x.status,
	}
	t.in, t.out = x.c.moved()
	if x.s.access.Enabled() {
		x.fillRecord()
		rec := x.rec
		for _, b := range []*[]byte{&rec.Method, &rec.Host, &rec.Path, &rec.Query, &rec.RequestID} {
			*b = bytes.Clone(*b) // they are parts of buffers that others will have
		}
		t.rec = &rec
	}
	return t
}

// begin hands the tunnel to its loop. It is the last that the goroutine of the
// connection does with it.
func (d *departure) begin() {
	c := d.c
	if !c.from.Loop.Do(func() {
		if c.s.awake.isClosed() { // who ended all tunnels did not know of this one
			d.refuse()
			return
		}
		c.s.relay(c.from.Loop, d.tunnel)
	}) {
		d.refuse()
	}
}

// refuse ends a tunnel that did not begin.
func (d *departure) refuse() {
	loop.Reset(d.tunnel.Client.FD)
	loop.Reset(d.tunnel.Server.FD)
	d.done(loop.TunnelResult{Cause: loop.TunnelEnded})
}

// done accounts for the tunnel when both connections are closed. It runs on the loop.
func (t *relayed) done(r loop.TunnelResult) {
	took := time.Since(t.started)
	in, out := t.in+r.Up, t.out+r.Down
	t.route.count(statusClassOf(t.status), took)
	t.l.received.Add(in)
	t.l.sent.Add(out)
	f := tunnelFault(r.Cause)
	if f.reason != "" {
		t.c.s.metrics.Counter(metric.L7Errors, t.l.name, f.side.String(), f.reason).Inc()
	}
	if rec := t.rec; rec != nil {
		rec.Duration, rec.BytesIn, rec.BytesOut = took, int64(in), int64(out)
		if f.reason != "" {
			rec.Side, rec.Reason = f.side.String(), f.reason
		}
		t.c.s.access.L7(rec)
	}
	t.member.Done()
	t.l.tunnels.Add(-1)
	t.l.requests.Add(-1)
	t.c.from.Ticket.Release()
	t.c.end()
}

// tunnelFault is what a tunnel that ended in this way has to say for itself.
func tunnelFault(c loop.TunnelCause) fault {
	switch c {
	case loop.TunnelIdle:
		return fault{side: message.Client, reason: "tunnel_idle_timeout"}
	case loop.TunnelClientReset:
		return fault{side: message.Client, reason: "tunnel_reset"}
	case loop.TunnelServerReset:
		return fault{side: message.Upstream, reason: "tunnel_reset"}
	case loop.TunnelEnded:
		return fault{side: message.Internal, reason: "tunnel_ended"}
	case loop.TunnelAdmin:
		return fault{side: message.Internal, reason: "admin"}
	case loop.TunnelFailed:
		return fault{side: message.Internal, reason: "internal"}
	case loop.TunnelDone:
	}
	return fault{}
}
