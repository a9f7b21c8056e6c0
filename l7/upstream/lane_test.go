package upstream

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"testing"

	"weir/l4/loop"
	"weir/l7/message"
	"weir/pool/backend"
)

// passenger is a User that tells when there was progress.
type passenger chan struct{}

func (p passenger) Progress() {
	select {
	case p <- struct{}{}:
	default:
	}
}

func (p passenger) Abort() {}

// laneRig is a Lane with one member.
type laneRig struct {
	t      *testing.T
	loop   *loop.Loop
	lane   *Lane
	member *backend.Member
	moved  passenger
}

func newLaneRig(t *testing.T, behave func(c net.Conn, r *bufio.Reader)) *laneRig {
	l, err := loop.New(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	tr := newTransport(t)
	f := serve(t, behave)
	r := &laneRig{t: t, loop: l, member: group(t, tr, f.l.Addr()).Members()[0], moved: make(passenger, 1)}
	r.on(func() { r.lane = tr.NewLane(l) })
	return r
}

// on runs f on the loop and waits for it.
func (r *laneRig) on(f func()) {
	done := make(chan struct{})
	r.loop.Do(func() { defer close(done); f() })
	<-done
}

// await repeats f on the loop, after each progress, until it returns another error.
func (r *laneRig) await(f func() error) (err error) {
	for {
		if r.on(func() { err = f() }); err != loop.ErrAgain {
			return err
		}
		<-r.moved
	}
}

// connection is a new connection of the lane.
func (r *laneRig) connection() (c *Conn) {
	r.t.Helper()
	var d *Dialing
	err := r.await(func() (err error) {
		if d == nil {
			if d, err = r.lane.Dial(r.member, 0, r.moved); err != nil {
				return err
			}
		}
		c, err = d.Result()
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

// ask sends a request without a body.
func ask(c *Conn) error {
	c.SetHead(append(c.Head(64), "POST / HTTP/1.1\r\nHost: a\r\n\r\n"...), message.None, 0)
	return c.EndBody(nil)
}

// hear reads the head and body of the answer to it.
func (r *laneRig) hear(c *Conn) error {
	var res message.Response
	err := r.await(func() error { return c.ReadHead(&res, []byte("POST")) })
	for err == nil {
		err = r.await(func() error { _, err := c.ReadBody(); return err })
	}
	return err
}

// TestLaneKnowsWhatWasSent: what a lane puts off counts as sent when the kernel takes it,
// so that a request which never left us may go to another server, whatever its method.
func TestLaneKnowsWhatWasSent(t *testing.T) {
	cut := make(chan bool)
	cutNow := make(chan struct{})
	r := newLaneRig(t, func(c net.Conn, rd *bufio.Reader) {
		for {
			if req, _ := readRequest(rd); req == nil {
				return
			}
			if <-cut {
				_ = c.(*net.TCPConn).SetLinger(0)
				return // it has the request, and resets
			}
			if _, err := io.WriteString(c, okResponse); err != nil {
				return
			}
			if <-cut {
				_ = c.(*net.TCPConn).SetLinger(0)
				_ = c.Close()
				close(cutNow)
				return
			}
		}
	})
	sendAndHear := func(c *Conn) error {
		var err error
		if r.on(func() { err = ask(c) }); err != nil {
			return err
		}
		return r.hear(c)
	}
	go func() { cut <- false; cut <- false; cut <- true }()
	c := r.connection()
	if err := sendAndHear(c); err != io.EOF {
		t.Fatal(err)
	}
	e := asError(t, sendAndHear(c))
	if e.Unsent() || !e.Sent {
		t.Errorf("a request that arrived: %+v", e)
	}
	r.on(c.Release)

	go func() { cut <- false }()
	c = r.connection()
	if err := sendAndHear(c); err != io.EOF {
		t.Fatal(err)
	}
	var again *Conn
	r.on(func() {
		c.Release()
		again = r.lane.Get(r.member, r.moved)
		cut <- true
		<-cutNow // between the look at the connection and the request
		if err := ask(again); err != nil {
			t.Errorf("it was not put off: %v", err)
		}
	})
	if again != c {
		t.Fatal("it was not kept")
	}
	if e = asError(t, r.hear(again)); !e.Unsent() {
		t.Errorf("a request that never left: %+v", e)
	}
	r.on(again.Release)
}
