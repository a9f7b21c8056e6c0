package upstream

import (
	"errors"
	"time"

	"weir/pool/backend"
)

// How says how to get a connection. The zero value takes an idle one where there is
// one and has the pool's connect timeout.
type How struct {
	Fresh bool // no idle one

	// Header is the first thing that goes out on the connection, which is a new one
	// and closed after the exchange: it speaks for one client. Nil: none.
	Header []byte

	// Limit is how long it may take, where that is less than the pool's connect
	// timeout; 0: no such limit. When it runs out the member is not to blame.
	Limit time.Duration

	// Leaver is who may leave while a new connection is made for them; nil: nobody.
	Leaver Leaver
}

// Leaver is who may leave while a connection is made for them. Then it is given up, with an
// error of the client's side, and the member is not to blame.
type Leaver interface {
	// Watch is called before a new connection is made. It returns a channel that is
	// closed when they have left.
	Watch() <-chan struct{}
	// Unwatch ends that.
	Unwatch()
}

// Get returns a connection to the member's endpoint: an idle one, or with fresh,
// or when there is none, a new one. A new connection is reported to the member
// (Connected, Refused, ConnectTimeout, LocalError). The caller owns the
// connection and must end with exactly one Release or Hijack.
//
// Get blocks for at most the group's connect timeout. An error is an *Error of
// StageDial: nothing was sent.
func (t *Transport) Get(m *backend.Member, fresh bool) (c *Conn, reused bool, err error) {
	return t.GetBy(m, How{Fresh: fresh})
}

// GetBy is Get with more to say.
func (t *Transport) GetBy(m *backend.Member, how How) (c *Conn, reused bool, err error) {
	tg := targetOf(m)
	if how.Limit > 0 && how.Limit < tg.connectTimeout {
		tg.connectTimeout, tg.hurried = how.Limit, true
	}
	if how.Header != nil {
		tg.header, tg.maxIdle, how.Fresh = how.Header, 0, true
	}
	tg.leaver = how.Leaver
	c, err = t.get(&tg, how.Fresh)
	if err != nil {
		o := dialOutcome(err)
		if (!tg.hurried || o != backend.ConnectTimeout) && !errors.Is(err, ErrAborted) {
			m.Report(o)
		}
		return nil, false, err
	}
	if !c.reused {
		m.Report(backend.Connected)
	}
	return c, c.reused, nil
}

// get is Get without a member.
func (t *Transport) get(tg *target, fresh bool) (*Conn, error) {
	if !fresh {
		if c := t.reuse(tg); c != nil {
			return c, nil
		}
	}
	return t.dial(tg)
}
