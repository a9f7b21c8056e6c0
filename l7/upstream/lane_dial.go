package upstream

import (
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"weir/l4/loop"
	"weir/l7/message"
	"weir/pool/backend"
)

// Dialing is a connection of a [Lane] that is being established. It ends with Result or
// Cancel.
type Dialing struct {
	lane   *Lane
	member *backend.Member
	target target
	conn   *Conn
	fd     int
	sa     unix.Sockaddr
	done   bool // Dial found it established
}

// Dial begins to connect to the member's endpoint for user, who is told of progress.
// limit is what [How].Limit is. An error is that of GetBy, and is reported as there.
func (ln *Lane) Dial(m *backend.Member, limit time.Duration, user User) (*Dialing, error) {
	d := &Dialing{lane: ln, member: m, target: targetOf(m), sa: m.Endpoint().Sockaddr()}
	if limit > 0 && limit < d.target.connectTimeout {
		d.target.connectTimeout, d.target.hurried = limit, true
	}
	p, generation, ok := ln.t.poolOf(d.target.endpoint)
	if !ok {
		return nil, d.failed(ErrClosed, message.Internal)
	}
	var err error
	if d.fd, d.done, err = ln.loop.Dial(d.sa, d.target.socket); err != nil {
		return nil, d.refused(err)
	}
	c := &Conn{t: ln.t, idlePool: p, generation: generation, endpoint: d.target.endpoint}
	c.loop.lane, c.loop.user = ln, user
	h := loop.Handover{FD: d.fd}
	if d.target.network == "tcp" {
		h.Remote, _ = netip.ParseAddrPort(d.target.address) // zero for a name with a zone: it is only told
	}
	nc, err := ln.loop.Raw(h, (*laneConn)(c))
	if err != nil {
		return nil, d.refused(err)
	}
	c.nc, c.loop.nc = nc, nc
	d.conn = c
	_ = nc.SetReadDeadline(nc.Now().Add(d.target.connectTimeout)) // of a raw one it is only noted
	return d, nil
}

// Result returns the connection, lent as by Get, when it is established; the error is
// loop.ErrAgain while it is not, and else as that of GetBy: then nothing is left of it.
func (d *Dialing) Result() (*Conn, error) {
	c := d.conn
	if !d.done {
		var err error
		d.done, err = d.lane.loop.Dialed(d.fd, d.sa)
		switch {
		case err == nil && !d.done && c.loop.nc.Expired(c.now()):
			err = os.ErrDeadlineExceeded
		case err == nil && !d.done:
			return nil, loop.ErrAgain
		}
		if err != nil {
			c.close()
			return nil, d.refused(err)
		}
	}
	_ = c.loop.nc.SetReadDeadline(time.Time{}) // as above
	n := d.lane.t.countersOf(d.target.group)
	n.dials.Add(1)
	c.lend(n, &d.target, false)
	d.member.Report(backend.Connected)
	return c, nil
}

// IsExpired reports whether the time to connect is over: Result will fail, or have a
// connection after all.
func (d *Dialing) IsExpired(now time.Time) bool { return d.conn.loop.nc.Expired(now) }

// Cancel ends it, for reasons that the member has no part in.
func (d *Dialing) Cancel() { d.conn.close() }

// refused tells who has to know of a connect that failed, and makes its error.
func (d *Dialing) refused(err error) error {
	d.lane.t.countersOf(d.target.group).failures.Add(1)
	d.target.pool.ConnectFailed(err)
	side := message.Upstream
	if backend.Classify(err) == backend.LocalError {
		side = message.Internal
	}
	return d.failed(err, side)
}

func (d *Dialing) failed(err error, side message.Side) error {
	timeout := backend.Classify(err) == backend.ConnectTimeout
	e := &Error{Side: side, Stage: StageDial, Backend: d.target.name, Timeout: timeout, Err: err}
	if o := dialOutcome(e); !d.target.hurried || o != backend.ConnectTimeout {
		d.member.Report(o)
	}
	return e
}
