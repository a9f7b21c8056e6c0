package l4

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"time"

	"weir/l4/loop"
	"weir/pool/limit"
)

// newTurns bounds the handshakes that calculate at the same time, on either side, to
// three quarters of the cores: however many are asked for, sessions and loops get
// their part. One waits its turn for no longer than it may take.
func newTurns() *limit.Turns { return limit.NewTurns(runtime.GOMAXPROCS(0) * 3 / 4) }

// errCut is the end of a connection under TLS that came without a close_notify:
// someone may have cut it, so what came before must not pass for all.
var errCut = fmt.Errorf("connection cut without close_notify: %w", io.ErrUnexpectedEOF)

// errNoTurn is a handshake that did not get its turn: there are too many.
var errNoTurn = fmt.Errorf("too many TLS handshakes at a time: %w", os.ErrDeadlineExceeded)

// errGone is a peer that did not wait for the handshake.
var errGone = fmt.Errorf("the peer is gone: %w", io.ErrUnexpectedEOF)

// wire is the connection under TLS. crypto/tls takes an end between two records for
// an orderly one; here it is not. It also bounds the sending of a close_notify by
// five seconds and spoils the connection when they are over: a peer that reads
// slowly gets the end when it has read the rest, and waiting is bounded by the
// timeouts of the session.
type wire struct {
	*loop.Conn
	shaking *shaking // nil but during the handshake
}

// shaking is a handshake that goes on. It has a turn, except while it waits for the
// peer: one that is slow costs memory, and no processor.
type shaking struct {
	turns *limit.Turns
	stop  <-chan struct{}
	until time.Time
	holds bool // a turn
}

func (w *wire) Read(p []byte) (n int, err error) {
	if h := w.shaking; h != nil && w.Buffered() == 0 {
		h.rest()
		defer func() { err = h.goOn(err) }()
	}
	n, err = w.Conn.Read(p)
	if err == io.EOF {
		err = errCut
	}
	return n, err
}

func (w *wire) Write(p []byte) (n int, err error) {
	if h := w.shaking; h != nil {
		h.rest()
		defer func() { err = h.goOn(err) }()
	}
	return w.Conn.Write(p)
}

func (w *wire) SetWriteDeadline(time.Time) error { return nil }

func (h *shaking) rest() {
	h.holds = false
	h.turns.Give()
}

// goOn takes the next turn, unless the handshake has failed.
func (h *shaking) goOn(err error) error {
	if err != nil {
		return err
	}
	if h.holds = h.turns.Take(true, h.stop, time.Until(h.until)); !h.holds {
		return errNoTurn
	}
	return nil
}

// shake completes the handshake of conn over w. It takes at most the time given,
// which is also the deadline of w that the caller has set, and ends when stop is
// closed and the deadline of w is taken back. Who waits for the first turn may use up
// half of the time: with less left, the work would be in vain.
func (s *Server) shake(w *wire, conn *tls.Conn, stop <-chan struct{}, most time.Duration) error {
	h := &shaking{turns: s.turns, stop: stop, until: time.Now().Add(most)}
	if h.holds = h.turns.Take(false, stop, most/2); !h.holds {
		return errNoTurn
	}
	w.shaking = h
	defer func() {
		w.shaking = nil
		if h.holds {
			h.rest()
		}
	}()
	if w.PeerState() == loop.PeerReset {
		return errGone
	}
	return conn.HandshakeContext(context.Background())
}

// tlsStream ends its direction in TLS and below, for peers that know only one.
type tlsStream struct {
	*tls.Conn
	below *loop.Conn
}

func (s tlsStream) CloseWrite() error {
	if err := s.Conn.CloseWrite(); err != nil {
		return err
	}
	return s.below.CloseWrite()
}

// encrypt begins TLS with a server on conn, as config says.
func (t *secured) encrypt(conn *loop.Conn, config *tls.Config, most time.Duration) (*tls.Conn, error) {
	w := &wire{Conn: conn}
	c := tls.Client(w, config)
	return c, t.shard.server.shake(w, c, t.ended, most)
}

// goneEvery is how often a client is looked at that is not read from, since its
// session waits for a server.
const goneEvery = 300 * time.Millisecond

// watchClient ends the session when its client is gone, until the function that it
// returns is called.
func (t *secured) watchClient() (done func()) {
	t.waiting.Store(true)
	var timer *time.Timer
	timer = time.AfterFunc(time.Hour, func() {
		switch {
		case !t.waiting.Load():
		case t.client.PeerState() == loop.PeerReset:
			t.end(reasonClientReset)
		default:
			timer.Reset(goneEvery)
		}
	})
	timer.Reset(goneEvery)
	return func() {
		t.waiting.Store(false)
		timer.Stop()
	}
}

var _ net.Conn = (*wire)(nil)
