package l4

import (
	"time"

	"weir/pool/accesslog"
	"weir/pool/metric"
)

// stages are the histograms of the sampled sessions.
type stages struct {
	sniff, tls, connect, firstByte, deliver *metric.Histogram
}

func newStages(r *metric.Registry) stages {
	of := func(stage string) *metric.Histogram { return r.Histogram(metric.StageSeconds, "l4", stage) }
	return stages{of("sniff"), of("tls"), of("connect"), of("first_byte"), of("deliver")}
}

// The stages follow one another: sniff from the accept to the route, TLS from there
// to the end of the client's handshake, where Weir ends it, connect from there to an
// established backend connection without the time in the queue, first byte from there to the
// backend's first byte, deliver from there to the end. The clock is read once
// more than the loop does: a callback may stand for several stages.

func (s *session) timeSniff() {
	if s.timed {
		s.stages.Sniff = time.Since(s.acceptedAt)
		s.shard.stages.sniff.Observe(s.stages.Sniff)
	}
}

func (s *session) timeTLS() {
	if s.timed {
		s.stages.TLS = time.Since(s.acceptedAt) - s.stages.Sniff
		s.shard.stages.tls.Observe(s.stages.TLS)
	}
}

func (s *session) timeConnect() {
	if s.timed {
		s.stages.Connect = time.Since(s.acceptedAt) - s.beforeFirstByte()
		s.shard.stages.connect.Observe(s.stages.Connect)
	}
}

func (s *session) timeFirstByte() { s.firstByteAt(time.Since(s.acceptedAt)) }

// firstByteAt notes when the backend's first byte came, since the accept.
func (s *session) firstByteAt(at time.Duration) {
	if s.timed {
		s.stages.FirstByte = at - s.beforeFirstByte()
		s.shard.stages.firstByte.Observe(s.stages.FirstByte)
	}
}

// beforeFirstByte is the time of all stages up to the connection with the backend.
func (s *session) beforeFirstByte() time.Duration {
	return s.stages.Sniff + s.stages.TLS + s.stages.Queue + s.stages.Connect
}

// record counts the end of a session and writes its line of the access log.
func (s *session) record(why reason) {
	if s.tunnel != nil {
		s.endTunnel(why)
		return
	}
	s.counters.active.Add(-1)
	s.counters.closed[why].Add(1)
	took := time.Since(s.acceptedAt)
	if s.timed && s.stages.FirstByte > 0 {
		s.stages.Deliver = took - s.beforeFirstByte() - s.stages.FirstByte
		s.shard.stages.deliver.Observe(s.stages.Deliver)
	}
	log := s.shard.server.access
	if !log.Enabled() {
		return
	}
	r := &s.shard.line
	*r = accesslog.L4Record{
		Start: s.acceptedAt, Listener: s.routing.listener.name, Client: s.peer, SNI: s.sni, Offered: s.offered,
		Backend: s.backend, BytesIn: int64(s.up.bytes), BytesOut: int64(s.down.bytes),
		Duration: took, Side: reasons[why].side, Reason: reasons[why].name,
		Retries: max(s.query.Tries()-1, 0), Stages: s.stages,
	}
	if why == reasonDone {
		r.EndedBy = s.ended.String()
	}
	if s.to != nil {
		r.Route, r.Pool = s.to.name, s.to.pool
	}
	if f := s.facts; f != nil {
		r.TLS, r.ALPN, r.ClientCert = f.version, f.alpn, f.subject
	}
	log.L4(r)
}
