package l7

import (
	"time"

	"weir/l7/message"
	"weir/pool/accesslog"
	"weir/pool/metric"
)

// log counts the exchange and writes its record.
func (x *exchange) log() verdict {
	x.countCoding()
	x.endCache()
	x.dropUpstream()
	x.leavePool()
	x.endAct()
	x.dropHeld()
	took := x.now().Sub(x.started)
	class := statusClassOf(x.status)
	if x.route != nil {
		x.route.count(class, took)
	} else {
		x.l.requestsNone[class].Inc()
	}
	in, out := x.c.moved()
	in, out = in+x.tunnelIn, out+x.tunnelOut
	x.l.received.Add(in)
	x.l.sent.Add(out)
	if x.sampled {
		x.observeStages()
	}
	if x.fault.reason != "" {
		x.logFault()
	}
	if x.s.access.Enabled() {
		x.record(took, in, out)
	}
	return next
}

// statusClassOf is the index of a status among the classes, 0 where none was sent.
func statusClassOf(status int) int {
	if class := status / 100; class < statusClasses {
		return class
	}
	return 0
}

// count adds a request that is over.
func (r *routeState) count(class int, took time.Duration) {
	r.requests[class].Inc()
	r.seconds.Observe(took)
}

// observeStages adds the stages that this exchange went through.
func (x *exchange) observeStages() {
	for _, st := range [...]struct {
		h *metric.Histogram
		d time.Duration
	}{
		{x.l.stages.route, x.stages.Route},
		{x.l.stages.connect, x.stages.Connect},
		{x.l.stages.firstByte, x.stages.FirstByte},
		{x.l.stages.deliver, x.stages.Deliver},
	} {
		if st.d > 0 {
			st.h.Observe(st.d)
		}
	}
}

// logFault counts a fault by its side. What a client does wrong is not worth a
// line of the process log; a backend's fault is one for who looks for it.
func (x *exchange) logFault() {
	f := &x.fault
	x.s.metrics.Counter(metric.L7Errors, x.l.name, f.side.String(), f.reason).Inc()
	if f.side == message.Client || f.err == nil {
		return
	}
	log := x.s.log.Debug
	if f.side == message.Internal {
		log = x.s.log.Error
	}
	log("exchange failed", "listener", x.l.name, "side", f.side.String(), "reason", f.reason,
		"request_id", string(x.requestID()), "err", f.err)
}

func (x *exchange) record(took time.Duration, in, out uint64) {
	x.fillRecord()
	r := &x.rec
	r.Duration, r.BytesIn, r.BytesOut = took, int64(in), int64(out)
	if x.fault.reason != "" {
		r.Side, r.Reason = x.fault.side.String(), x.fault.reason
	}
	x.s.access.L7(r)
}

// fillRecord puts into x.rec what is known before the end.
func (x *exchange) fillRecord() {
	r := &x.rec
	*r = accesslog.L7Record{
		Start: x.started, Listener: x.l.name, Client: x.client, SNI: x.c.from.SNI,
		Proto: "HTTP/1.1", Method: x.req.Method, Host: x.req.Authority, Path: x.req.Path, Query: x.req.Query,
		Status: x.status, RequestID: x.requestID(), Retries: x.retries, Stages: x.stages,
	}
	if x.req.Minor == 0 {
		r.Proto = "HTTP/1.0"
	}
	if x.route != nil {
		r.Route, r.Pool = x.route.name, x.route.pool
	}
	r.Backend = x.backend
	if c := &x.cached; c.rc != nil {
		r.Cache, r.CacheReason, r.CacheStore = c.result.String(), c.why, c.kept
	}
	if v := &x.coder.verdict; x.codes() {
		r.Coding = v.Coding.String()
	} else if x.coder.judged {
		r.Uncoded = v.Reason.String()
	}
}
