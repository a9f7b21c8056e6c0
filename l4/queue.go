package l4

import (
	"time"

	"weir/l4/loop"
	"weir/pool/backend"
)

// waiting is a session in the queue of a pool. It is an object of its own because
// the wake-up comes from anywhere and runs on the loop later, when the session may be
// closed and its object in use for another one.
type waiting struct {
	backend.Waiter
	s     *session      // nil once it left the queue; touched on the loop only
	since time.Duration // in the loop's time
}

// enqueue waits until a member has a slot for the session, or closes it.
func (s *session) enqueue() {
	w := &waiting{s: s, since: s.shard.loop.Now()}
	l := s.shard.loop
	w.Wake = func() { l.Do(w.served) } // a loop that ended has closed its sessions
	g := s.to.group
	if err := g.Enqueue(&w.Waiter, &s.query); err != nil {
		s.close(reasonQueueFull)
		return
	}
	s.place = w
	s.state = stateQueued
	s.arm(g.QueueTimeout())
	if s.client.toEnd {
		s.checkLeft()
	}
}

// served goes on with a session whose turn it is.
func (w *waiting) served() {
	s := w.s
	if s == nil {
		return // it left before
	}
	defer s.shard.loop.Recovered(s)
	m, err := s.endWait()
	if err != nil {
		s.noBackend()
		return
	}
	s.state = stateConnecting
	s.connecting = s.shard.loop.Now() // the queue has a limit of its own
	if !m.InRotation() {
		// It was lost on the way here, when nobody could see that it has this session.
		m.Done()
		s.connect()
		return
	}
	s.use(m)
}

// endWait takes the session out of the queue, with what it got there.
func (s *session) endWait() (*backend.Member, error) {
	w := s.place
	s.place, w.s = nil, nil
	s.shard.loop.Disarm(&s.timer)
	s.stages.Queue += s.shard.loop.Now() - w.since
	return w.Leave()
}

// leaveQueue gives the place up, and a slot that came too late.
func (s *session) leaveQueue() {
	if s.place == nil {
		return
	}
	if m, err := s.endWait(); err == nil && m != nil {
		m.Done()
	}
}

// checkQueued looks at what happened to the client of a queued session.
func (s *session) checkQueued(ev loop.Events) {
	switch {
	case ev.Failed() && s.shard.loop.SocketError(s.client.fd) != nil:
		s.close(reasonClientReset)
	case ev.ReadToEnd():
		s.checkLeft()
	}
}

// checkLeft closes a queued session whose client has ended its direction without a
// byte: it has left. One that has sent something may wait for an answer to it.
func (s *session) checkLeft() {
	if s.up.holds() {
		return
	}
	if n, errno := s.shard.loop.Peek(s.client.fd, s.shard.loop.Scratch()[:1]); n == 0 && errno == 0 {
		s.close(reasonQueueLeft)
	}
}
