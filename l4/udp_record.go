package l4

import (
	"time"

	"weir/pool/accesslog"
)

// record counts the end of a session and writes its line of the access log.
func (s *udpSession) record(why reason) {
	s.counters.active.Add(-1)
	s.counters.closed[why].Add(1)
	log := s.shard.server.access
	if !log.Enabled() {
		return
	}
	r := &s.shard.line
	*r = accesslog.L4Record{
		Start: s.acceptedAt, Listener: s.routing.listener.name, Client: s.peer, SNI: s.sni, Offered: s.offered,
		Backend: s.backend, BytesIn: int64(s.up.bytes), BytesOut: int64(s.down.bytes),
		DatagramsIn: int64(s.up.datagrams), DatagramsOut: int64(s.down.datagrams),
		Duration: time.Since(s.acceptedAt), Side: reasons[why].side, Reason: reasons[why].name,
		Retries: int(max(s.tried-1, 0)), Stages: accesslog.Stages{FirstByte: s.firstReply},
	}
	if s.to != nil {
		r.Route, r.Pool = s.to.name, s.to.pool
	}
	log.L4(r)
}
