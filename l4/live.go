package l4

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"weir/l4/loop"
)

// MaxListed is the most sessions that one call of List returns.
const MaxListed = 1000

// Session is one live session, or one tunnel of L7, as the administrator sees it.
type Session struct {
	// ID is unique in the process and never used again.
	ID       uint64
	Kind     string // "session", or of a tunnel "websocket" or "connect"
	Listener string
	Network  string         // "tcp", of unix sockets too, or "udp"
	Client   netip.AddrPort // the zero value on a unix socket
	SNI      string         // what the client asked for, "" where nothing did
	Route    string
	Pool     string // "" until a route was found
	Backend  string // the server tried last, "" before
	State    string
	Start    time.Time
	Age      time.Duration
	Idle     time.Duration // since the last byte in either direction
	BytesIn  uint64        // from the client
	BytesOut uint64        // to the client
}

// Filter chooses sessions. Fields that are empty choose all.
type Filter struct {
	ID       uint64
	Listener string
	Pool     string
	Backend  string
	Client   netip.Prefix // the network of the client
	MinAge   time.Duration
}

// Empty reports whether the filter chooses every session.
func (f Filter) Empty() bool { return f == Filter{} }

// Match reports whether f chooses x.
func (f *Filter) Match(x *Session) bool {
	return (f.ID == 0 || f.ID == x.ID) &&
		(f.Listener == "" || f.Listener == x.Listener) &&
		(f.Pool == "" || f.Pool == x.Pool) &&
		(f.Backend == "" || f.Backend == x.Backend) &&
		(!f.Client.IsValid() || f.Client.Contains(x.Client.Addr().Unmap())) &&
		f.MinAge <= x.Age
}

// Page is a part of the sessions, the youngest of each loop first.
type Page struct {
	Sessions []Session
	Next     uint64 // for the After of the next page, 0: this was the last one
}

// sessionID makes an ID of the number that a loop gave and the index of the loop,
// so that loops need not agree on numbers.
func (s *Server) sessionID(number uint64, index int) uint64 {
	return number*uint64(len(s.shards)) + uint64(index)
}

// is says whose tunnel x is.
func (x *Session) is(t *loop.TunnelInfo) {
	x.Kind, x.Listener, x.Client, x.SNI = t.Kind, t.Listener, t.Client, t.SNI
	x.Route, x.Pool, x.Backend = t.Route, t.Pool, t.Backend
}

// List returns up to limit (at most MaxListed) of the sessions that f chooses, those
// with an ID below after, where that is not 0. Sessions come and go while it looks;
// one that lives all the time is on exactly one page. It waits for the loops, each of
// which goes through its sessions in small steps, until ctx ends.
func (s *Server) List(ctx context.Context, f Filter, after uint64, limit int) (Page, error) {
	limit = min(max(limit, 1), MaxListed)
	if after == 0 {
		after = ^uint64(0)
	}
	perLoop := make([][]Session, len(s.shards))
	err := s.eachShard(ctx, func(sh *shard) visitor {
		own := make([]Session, 0, 16)
		return func(v live) (int, bool) {
			if id := v.ID(); id >= after || f.ID != 0 && f.ID != id {
				return 0, true
			}
			var x Session
			if v.show(&x); f.Match(&x) {
				own = append(own, x)
				perLoop[sh.index] = own
			}
			return 0, len(own) <= limit
		}
	})
	if err != nil {
		return Page{}, err
	}
	var all []Session
	for _, own := range perLoop {
		all = append(all, own...)
	}
	slices.SortFunc(all, func(a, b Session) int { return cmp.Compare(b.ID, a.ID) })
	if len(all) > limit {
		all = all[:limit]
		return Page{Sessions: all, Next: all[limit-1].ID}, nil
	}
	return Page{Sessions: all}, nil
}

// End resets the sessions that f chooses and returns how many those were. After an
// error some of them may have ended.
func (s *Server) End(ctx context.Context, f Filter) (int, error) {
	ended := make([]int, len(s.shards))
	err := s.eachShard(ctx, func(sh *shard) visitor {
		return func(v live) (int, bool) {
			if f.ID != 0 && f.ID != v.ID() {
				return 0, true
			}
			var x Session
			if v.show(&x); !f.Match(&x) {
				return 0, true
			}
			v.close(reasonAdmin)
			ended[sh.index]++
			return endCost, f.ID == 0
		}
	})
	if err != nil {
		return 0, err
	}
	n := 0
	for _, m := range ended {
		n += m
	}
	return n, nil
}

var errClosing = errors.New("the server is closing")

// eachShard walks the sessions of all loops at the same time. What visit returns
// is used on the one loop; when eachShard returns without an error, all have ended.
func (s *Server) eachShard(ctx context.Context, visit func(*shard) visitor) error {
	done := make(chan struct{}, len(s.shards))
	for _, sh := range s.shards {
		if !sh.startScan(visit(sh), func() { done <- struct{}{} }) {
			done <- struct{}{}
		}
	}
	for range s.shards {
		select {
		case <-done:
		case <-s.closing:
			return fmt.Errorf("cannot look at the sessions: %w", errClosing)
		case <-ctx.Done():
			return fmt.Errorf("cannot look at all sessions in time: %w", context.Cause(ctx))
		}
	}
	return nil
}

// ID implements live.
func (s *session) ID() uint64 { return s.shard.server.sessionID(s.number, s.shard.index) }

func (s *session) show(x *Session) {
	now := s.shard.loop.Now()
	moved := s.lastMoved()
	in, out := s.up.bytes, s.down.bytes
	if s.tls != nil {
		in, out = s.tls.up.Load(), s.tls.down.Load()
	}
	*x = Session{
		ID: s.ID(), Kind: "session", Network: "tcp", Client: s.peer, SNI: s.sni,
		Backend: s.backend, State: s.state.String(), Start: s.acceptedAt, Age: now - s.accepted,
		Idle: max(now-max(moved, s.accepted), 0), BytesIn: in, BytesOut: out,
	}
	if s.tunnel != nil {
		x.is(&s.tunnel.info)
		return
	}
	x.Listener = s.routing.listener.name
	if s.to != nil {
		x.Route, x.Pool = s.to.name, s.to.pool
	}
}

// String gives the word that the admin API has for the state.
func (s state) String() string {
	switch s {
	case stateAccepted, stateIdentifying, stateSniffing:
		return "sniffing"
	case stateQueued:
		return "queued"
	case stateTerminating:
		return "handshaking"
	case stateConnecting, stateNegotiating, stateSecuring:
		return "connecting"
	case stateRelaying:
		return "relaying"
	case stateHalfClosed:
		return "half_closed"
	case stateClosed:
	}
	return "closed"
}
