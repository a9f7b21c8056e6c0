package l7

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"weir/conf"
	"weir/l7/message"
)

// Acted is what a route does to a request, and to its response, beside choosing a pool.
type Acted struct {
	// Sent is the head that a server gets: the request line, then the fields. Of what is
	// new for each request, MadeID stands for the id.
	Sent []string `json:"sent,omitempty"`
	// Held says that the body is read wholly before there is a server, by request_buffer.
	Held bool `json:"held,omitempty"`
	// Body is that of a fixed response.
	Body string `json:"body,omitempty"`
	// ResponseFields are set in, or added to, the response; ResponseHidden are taken out
	// of it, by their names in lower case.
	ResponseFields []string `json:"response_fields,omitempty"`
	ResponseHidden []string `json:"response_hidden,omitempty"`
	// Faults are what the route injects, and Mirror where copies go.
	Faults []FaultChance `json:"faults,omitempty"`
	Mirror *MirrorChance `json:"mirror,omitempty"`
}

// FaultChance is a fault that is injected into a part of the requests.
type FaultChance struct {
	Delay   string `json:"delay,omitempty"`  // "" where it is not one
	Status  int    `json:"status,omitempty"` // of the answer in place of any other; 0 where it is a delay
	Percent int    `json:"percent"`
}

// MirrorChance is a pool that gets copies of a part of the requests. Percent is 0 where
// the request is one that is not copied.
type MirrorChance struct {
	Pool    string `json:"pool"`
	Percent int    `json:"percent"`
}

// MadeID stands for an id that each request gets anew.
const MadeID = "{request_id}"

// act does what the step of an exchange does, as far as the request decides it: nobody
// waits, nothing is drawn, copied or read.
func (e *Explanation) act(x *exchange) {
	if x.req.Connect {
		return // a server gets what comes through the tunnel, and no head
	}
	a := x.route.act
	if a == nil {
		e.ResponseHidden = slices.Clone(x.route.hidden)
		e.sendOn(x)
		e.hideID(x)
		return
	}
	x.beginValues(a)
	e.faults(a.fault)
	switch {
	case a.redirect != nil:
		x.redirectTo(a.redirect)
	case a.fixed == nil:
		x.rewrite(a)
	}
	if x.fault.reason != "" {
		e.answered(x)
		return
	}
	e.ResponseFields = lines(a.response.append(nil, &x.acted.values))
	e.ResponseHidden = slices.Clone(x.route.hidden)
	switch {
	case a.redirect != nil:
		e.Status = a.redirect.status
		if !slices.Contains(a.response.drop, "location") {
			e.Location = string(x.acted.location)
		}
	case a.fixed != nil:
		e.Status, e.Body = a.fixed.status, string(a.fixed.body)
	case a.files == nil:
		e.sendOn(x)
		e.mirror(x, a.mirror)
	}
	e.hideID(x)
}

// sendOn notes the head that a server gets.
func (e *Explanation) sendOn(x *exchange) {
	if x.req.Authority == nil && x.route.conf.RewriteHost.IsZero() {
		x.acted.host = []byte("(address of the server)") // see upstreamHost
	}
	if e.Held = x.isHeld(); e.Held {
		x.req.Expect100 = false // see sayContinue
	}
	e.Sent = lines(x.appendRequestHead(nil))
}

func (e *Explanation) faults(f *conf.Fault) {
	if f == nil {
		return
	}
	if f.Delay > 0 && f.DelayPercent > 0 {
		e.Faults = append(e.Faults, FaultChance{Delay: f.Delay.String(), Percent: f.DelayPercent})
	}
	if f.Abort > 0 && f.AbortPercent > 0 {
		e.Faults = append(e.Faults, FaultChance{Status: f.Abort, Percent: f.AbortPercent})
	}
}

func (e *Explanation) mirror(x *exchange, m *mirror) {
	if m == nil {
		return
	}
	e.Mirror = &MirrorChance{Pool: m.conf.Pool}
	if x.isMirrored(m) {
		e.Mirror.Percent = m.conf.Percent
	}
}

// hideID puts MadeID in place of an id that Explain has made.
func (e *Explanation) hideID(x *exchange) {
	id := x.requestID()
	if bytes.Equal(id, x.req.Get(message.XRequestID)) {
		return
	}
	for _, list := range [][]string{e.Sent, e.ResponseFields} {
		for i := range list {
			list[i] = strings.ReplaceAll(list[i], string(id), MadeID)
		}
	}
	e.Location = strings.ReplaceAll(e.Location, string(id), MadeID)
}

// lines cuts a head, or a part of one, into its lines.
func lines(head []byte) []string {
	text := strings.TrimRight(string(head), "\r\n")
	if text == "" {
		return nil
	}
	return strings.Split(text, "\r\n")
}

// FaultText says the faults in words, "" for none.
func (a *Acted) FaultText() string {
	var parts []string
	for _, f := range a.Faults {
		what := "wait " + f.Delay
		if f.Status != 0 {
			what = "get " + strconv.Itoa(f.Status)
		}
		parts = append(parts, strconv.Itoa(f.Percent)+" % "+what)
	}
	return strings.Join(parts, ", ")
}
