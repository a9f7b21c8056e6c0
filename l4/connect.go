package l4

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"weir/pool/backend"
	"weir/pool/metric"
)

// descriptorWait is how long a session waits before it asks again for a
// descriptor that the process does not have.
const descriptorWait = 50 * time.Millisecond

// route sends the session where its first bytes said; nil closes it.
func (s *session) route(to *destination) {
	to.count()
	switch {
	case to == nil:
		s.close(reasonNoRoute)
	case to.l7 != "":
		s.handOver(to)
	case to.terminates && s.hello:
		s.terminate(to)
	default:
		s.to = to
		s.seek()
	}
}

// connect goes on with the connect that is left, or begins one to the next member, or
// closes the session when there is none.
func (s *session) connect() {
	if s.rival != nil {
		s.promote()
		return
	}
	for {
		if s.failed && s.connectLeft() <= 0 {
			s.noBackend()
			return
		}
		m, err := s.to.group.Pick(&s.query)
		if errors.Is(err, backend.ErrFull) {
			s.enqueue()
			return
		}
		if err != nil {
			s.noBackend()
			return
		}
		if s.try(m) {
			return
		}
	}
}

// use connects to m, which has a slot for the session, or to the next member.
func (s *session) use(m *backend.Member) {
	if !s.try(m) {
		s.connect()
	}
}

// try begins to connect to m. It reports false where the next member is to be tried.
func (s *session) try(m *backend.Member) bool {
	s.member, s.backend = m, m.Name()
	return s.dial() || s.state == stateClosed
}

// noBackend closes a session that no member is left for.
func (s *session) noBackend() {
	switch {
	case s.tlsFailed:
		s.close(reasonBackendTLS)
	case s.noPorts:
		s.close(reasonNoPorts)
	case s.failed:
		s.close(reasonConnectFailed)
	default:
		s.close(reasonNoServer)
	}
}

// connectLeft is how long the session may still look for a backend, at most the time
// of one connect.
func (s *session) connectLeft() time.Duration {
	g := s.to.group
	one, all := g.ConnectTimeout(), g.ConnectTotal()
	if all > 0 {
		return min(one, s.connecting+all-s.shard.loop.Now())
	}
	return one
}

// dial begins to connect to s.member. It reports false where the next member is to be tried.
func (s *session) dial() bool {
	l := s.shard.loop
	sa := s.member.Endpoint().Sockaddr()
	fd, connected, err := l.Dial(sa, s.to.group.Socket().Brief())
	if err != nil {
		if outOfDescriptors(err) {
			s.waitForDescriptor(err)
			return true
		}
		s.connectFailed(err)
		return false
	}
	_, isUnix := sa.(*unix.SockaddrUnix)
	s.server = socket{fd: fd, tcp: !isUnix}
	if err := l.Watch(fd, s); err != nil {
		l.CloseSocket(fd)
		s.server.fd = -1
		s.connectFailed(err)
		return false
	}
	if connected {
		s.connected()
	} else {
		s.until = l.Now() + s.connectLeft()
		s.await()
	}
	return true
}

// checkConnect looks at the connect that is going on.
func (s *session) checkConnect() {
	ok, err := s.shard.loop.Dialed(s.server.fd, s.member.Endpoint().Sockaddr())
	switch {
	case err != nil:
		s.connectFailed(err)
		s.connect()
	case ok:
		s.connected()
	}
}

// connectExpired ends a connect that took too long, or a wait for a descriptor, or
// begins a second connect beside one that takes its time.
func (s *session) connectExpired() {
	now := s.shard.loop.Now()
	if r := s.rival; r != nil && now >= r.until {
		s.rivalFailed(unix.ETIMEDOUT)
	}
	switch {
	case s.member == nil:
		s.connect()
	case now >= s.until:
		s.connectFailed(unix.ETIMEDOUT)
		s.connect()
	default:
		s.race()
	}
}

// connectFailed reports the failure to the member and lets go of it.
func (s *session) connectFailed(err error) {
	s.letGo(s.member, err)
	s.member = nil
	if s.server.fd >= 0 {
		s.shard.loop.CloseFD(s.server.fd)
		s.server.fd = -1
	}
}

// letGo tells m why it cannot be connected to, and gives its slot back.
func (s *session) letGo(m *backend.Member, err error) {
	outcome := backend.Classify(err)
	s.to.group.ConnectFailed(err)
	s.noPorts = s.noPorts || backend.OutOfPorts(err)
	s.shard.connectFailures(s.to.pool, outcome)
	m.Report(outcome)
	m.Done()
	s.failed = true
}

func outOfDescriptors(err error) bool {
	var errno unix.Errno
	if !errors.As(err, &errno) {
		return false
	}
	return errno == unix.EMFILE || errno == unix.ENFILE || errno == unix.ENOBUFS || errno == unix.ENOMEM
}

// waitForDescriptor tries the connect again in a moment, for as long as a connect
// may take. The member has no part in it.
func (s *session) waitForDescriptor(err error) {
	s.shard.server.exhausted()
	s.shard.connectFailures(s.to.pool, backend.LocalError)
	s.member.Report(backend.Classify(err))
	s.member.Done()
	s.member = nil
	if s.shard.loop.Now()-s.connecting >= s.to.group.ConnectTimeout() {
		s.close(reasonNoDescriptors)
		return
	}
	s.query.Reset(s.query.Hash)
	s.arm(descriptorWait)
}

// connected goes on with an established backend connection.
func (s *session) connected() {
	s.dropRival()
	s.member.Report(backend.Connected)
	s.server.writable = true
	s.timeConnect()
	if !s.announce() {
		return
	}
	if s.isSecured() {
		s.probe()
		s.offerServer()
		return
	}
	switch {
	case s.prologue.wantTLS:
		s.beginNegotiate()
	case s.prologue.asked > 0 || s.prologue.clear:
		s.state = stateNegotiating
		s.arm(s.to.group.ConnectTimeout())
		s.negotiateMySQL()
	default:
		s.startRelay()
	}
}

// connectFailures counts; failures are rare enough for a lookup.
func (sh *shard) connectFailures(pool string, o backend.Outcome) {
	sh.server.metrics.Counter(metric.L4ConnectFailures, pool, o.String()).Inc()
}
