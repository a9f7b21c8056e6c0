package load

import "math"

// echoWire is a ping-pong: a message and the same bytes back.
type echoWire struct {
	job *job
	got int64
}

func (e *echoWire) begin() (first []byte, off, more int64) {
	e.got = 0
	return e.job.first, e.job.start, e.job.plan.Send - e.job.start
}

func (e *echoWire) receive(b []byte) (whole bool, f failure) {
	if int64(len(b)) > e.job.plan.Send-e.got {
		return false, failLength
	}
	if !e.job.pattern.matches(b, e.got) {
		return false, failData
	}
	e.got += int64(len(b))
	return e.got == e.job.plan.Send, failNone
}

func (e *echoWire) discard() int64                  { return 0 }
func (e *echoWire) discarded(int64) (bool, failure) { return false, failNone }
func (e *echoWire) end() (whole bool, f failure)    { return false, failClosed }
func (e *echoWire) reusable() bool                  { return true }

// datagramWire is an echo in one datagram, which comes back whole or is wrong. One that
// is lost ends the request by the timeout, and another socket takes over.
type datagramWire struct{ echoWire }

func (d *datagramWire) receive(b []byte) (whole bool, f failure) {
	if int64(len(b)) != d.job.plan.Send {
		return false, failLength
	}
	return d.echoWire.receive(b)
}

// downloadWire takes bytes until the server ends the connection, which is then a
// request that was answered.
type downloadWire struct {
	want int64 // as Workload.Receive
	got  int64
}

func (d *downloadWire) begin() (first []byte, off, more int64) {
	d.got = 0
	return nil, 0, 0
}

func (d *downloadWire) receive(b []byte) (bool, failure) { return d.discarded(int64(len(b))) }
func (d *downloadWire) discard() int64                   { return math.MaxInt64 }

func (d *downloadWire) discarded(n int64) (whole bool, f failure) {
	d.got += n
	return false, failNone
}

func (d *downloadWire) end() (whole bool, f failure) {
	if d.want != 0 && d.got != max(d.want, 0) {
		return true, failLength
	}
	return true, failNone
}

func (d *downloadWire) reusable() bool { return false }

// uploadWire sends the pattern without end. Nothing comes back.
type uploadWire struct{}

func (uploadWire) begin() (first []byte, off, more int64) { return nil, 0, math.MaxInt64 }
func (uploadWire) receive([]byte) (bool, failure)         { return false, failProtocol }
func (uploadWire) discard() int64                         { return 0 }
func (uploadWire) discarded(int64) (bool, failure)        { return false, failNone }
func (uploadWire) end() (whole bool, f failure)           { return false, failClosed }
func (uploadWire) reusable() bool                         { return false }

// httpWire is HTTP/1.1, one request at a time.
type httpWire struct {
	job  *job
	resp response
}

func (h *httpWire) begin() (first []byte, off, more int64) {
	h.resp.reset()
	return h.job.first, h.job.start, h.job.plan.Send - h.job.start
}

func (h *httpWire) receive(b []byte) (whole bool, f failure) {
	n, f := h.resp.feed(b)
	if f != failNone {
		return false, f
	}
	if n < len(b) {
		return false, failProtocol // more than was asked for
	}
	return h.verdict()
}

func (h *httpWire) discard() int64 { return h.resp.discard() }

func (h *httpWire) discarded(n int64) (whole bool, f failure) {
	h.resp.skip(n)
	return h.verdict()
}

func (h *httpWire) end() (whole bool, f failure) {
	if f := h.resp.end(); f != failNone {
		return false, f
	}
	return h.verdict()
}

func (h *httpWire) reusable() bool { return !h.resp.close }

func (h *httpWire) verdict() (whole bool, f failure) {
	if !h.resp.whole() {
		return false, failNone
	}
	return true, h.job.check.of(h.resp.status, h.resp.length, h.resp.sum)
}
