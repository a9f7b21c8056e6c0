package l4

import (
	"time"

	"weir/pool/backend"
)

// attemptDelay is how long a connect to one address of a name has for itself before
// one to an address of the other family begins beside it (RFC 8305 section 5).
const attemptDelay = 250 * time.Millisecond

// rival is the second connect of a session. What it connects to comes from the same
// configured name as the session's member and has the other address family. The first
// of the two that is established has the session.
type rival struct {
	member *backend.Member // holds one of its slots
	socket socket
	until  time.Duration // when it has taken too long
}

// await arms the timer for what comes next of a connect that is going on: its end, the
// end of its rival, or the time for a rival.
func (s *session) await() {
	next, now := s.until, s.shard.loop.Now()
	switch {
	case s.rival != nil:
		next = min(next, s.rival.until)
	case s.member.Dual():
		next = min(next, now+attemptDelay)
	}
	s.arm(next - now)
}

// race begins a second connect, where there is none and something to connect to.
func (s *session) race() {
	for s.rival == nil && s.connectLeft() > 0 {
		m := s.to.group.PickOther(s.member, &s.query)
		if m == nil {
			break
		}
		connected, err := s.challenge(m)
		switch {
		case connected:
			s.overtaken()
			return
		case outOfDescriptors(err):
			// The connect that goes on has its descriptor, and m is as good as before.
			s.shard.server.exhausted()
			m.Done()
			s.query.Undo(m)
			s.await()
			return
		case err != nil:
			s.letGo(m, err)
		}
	}
	s.await()
}

// challenge begins to connect to m.
func (s *session) challenge(m *backend.Member) (connected bool, err error) {
	l := s.shard.loop
	fd, connected, err := l.Dial(m.Endpoint().Sockaddr(), s.to.group.Socket().Brief())
	if err != nil {
		return false, err
	}
	if err := l.Watch(fd, s); err != nil {
		l.CloseSocket(fd)
		return false, err
	}
	s.rival = &rival{member: m, socket: socket{fd: fd, tcp: true}, until: l.Now() + s.connectLeft()}
	return connected, nil
}

// checkRival looks at the second connect.
func (s *session) checkRival() {
	r := s.rival
	ok, err := s.shard.loop.Dialed(r.socket.fd, r.member.Endpoint().Sockaddr())
	switch {
	case err != nil:
		s.rivalFailed(err)
		s.race()
	case ok:
		s.overtaken()
	}
}

// overtaken goes on with the second connect, which was the first to be established.
//
// The other one had more time and did not make it. Each time that costs a session
// attemptDelay, so it counts against the member: soon no session pays for it any more.
// A rival that loses has had less time than its winner, which says nothing of it.
func (s *session) overtaken() {
	s.shard.connectFailures(s.to.pool, backend.Outraced)
	s.member.Report(backend.Outraced)
	s.member.Done()
	s.shard.loop.CloseFD(s.server.fd)
	s.takeOver()
	s.connected()
}

// promote goes on with the second connect alone.
func (s *session) promote() {
	s.takeOver()
	s.await()
}

// takeOver puts the rival in the place of a connect that is over.
func (s *session) takeOver() {
	r := s.rival
	s.rival = nil
	s.member, s.backend, s.server, s.until = r.member, r.member.Name(), r.socket, r.until
}

// rivalFailed ends the second connect for a reason that its member is told.
func (s *session) rivalFailed(err error) {
	r := s.rival
	s.rival = nil
	s.shard.loop.CloseFD(r.socket.fd)
	s.letGo(r.member, err)
}

// dropRival ends the second connect, if there is one, which says nothing of its member.
func (s *session) dropRival() {
	r := s.rival
	if r == nil {
		return
	}
	s.rival = nil
	s.shard.loop.CloseFD(r.socket.fd)
	r.member.Done()
}

// dropLost ends those of the session's connects that lead to a server which its pool
// lost, and reports whether another one goes on.
func (s *session) dropLost(pool, name string) bool {
	switch {
	case s.rival == nil || s.to.pool != pool: // a tunnel has no rival
		return false
	case s.rival.member.Name() == name:
		s.dropRival()
		s.await()
	case s.backend == name:
		s.member.Done()
		s.shard.loop.CloseFD(s.server.fd)
		s.promote()
	}
	return true
}
