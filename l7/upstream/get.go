package upstream

import (
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
	c, err = t.get(&tg, how.Fresh)
	if err != nil {
		if o := dialOutcome(err); !tg.hurried || o != backend.ConnectTimeout {
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
