package l7

import (
	"errors"
	"slices"

	"weir/l4/loop"
	"weir/l7/message"
	"weir/l7/upstream"
	"weir/pool/backend"
)

// How the step forward goes on a lane, and how a goroutine takes it over.
//
//	start -> begun -> connecting -> asked -> (next)
//	           |          |           |-> answered   its status may be asked of another server
//	           |          +-----------+-> failed     there may be another attempt
//	           +-> full                              there is a queue
//
// A lane makes one attempt on one connection. All that comes after is left to a
// goroutine, which goes on in the phase that it finds.
type phase uint8

const (
	phaseStart      phase = iota
	phaseFull             // all members are at their max_conns
	phaseTaken            // a member was picked, nothing was sent
	phaseConnecting       // a connection is being established
	phaseAsked            // the request was sent, or sending it failed (ride.err)
	phaseFailed           // the attempt failed (ride.err)
	phaseAnswered         // there is a response, but another server may have a better one
)

// ride is what an exchange needs on a lane. A new exchange has only desk.
type ride struct {
	desk    *desk // whose lane drives the exchange; nil: a goroutine does
	phase   phase
	dialing *upstream.Dialing
	err     error
	left    bool // a goroutine had to take over
}

// canRide reports whether requests of the route may be served on a lane: nothing that
// the route does may block.
func (r *routeState) canRide() bool {
	if a := r.act; a != nil && (a.mirror != nil || a.fault != nil && a.fault.Delay > 0) {
		return false
	}
	return r.again.hedge == 0 && (r.compress == nil || r.group == nil)
}

// rides reports whether a request may be served on a lane as far as that is known before
// its route. A short body is read before all else, see desk.fill; others take turns with
// the response.
func (x *exchange) rides() bool {
	r := &x.req
	switch {
	case r.Expect100 || r.WebSocket || r.Connect:
		return false
	case x.l.caches && string(r.Method) != "GET" && string(r.Method) != "HEAD":
		return false // it may drop much of what is stored
	case r.HasBody():
		return x.isShort()
	}
	return true
}

// forwardOnLane is the step forward on a lane.
func (x *exchange) forwardOnLane() verdict {
	switch x.ride.phase {
	case phaseStart:
		return x.pickOnLane()
	case phaseConnecting:
		return x.connectOnLane()
	case phaseAsked:
		return x.hearOnLane()
	default:
		panic("BUG: an exchange is on a lane in a phase of goroutines")
	}
}

func (x *exchange) pickOnLane() verdict {
	g := x.route.group
	if !upstream.IsPlain(g) {
		return leave
	}
	if v := x.beginForward(); v != next {
		return v
	}
	m, err := g.Pick(&x.query)
	switch {
	case err == backend.ErrFull && g.Conf().Queue > 0:
		x.ride.phase = phaseFull
		return leave
	case err != nil:
		return x.noBackend(err)
	}
	x.take(m)
	lane := x.ride.desk.lane.up
	if up := lane.Get(m, x.ride.desk); up != nil {
		return x.sendOnLane(up)
	}
	x.asked.began = x.clock()
	if x.ride.dialing, err = lane.Dial(m, x.timeLeft(), x.ride.desk); err != nil {
		return x.failOnLane(err)
	}
	x.ride.phase = phaseConnecting
	return x.connectOnLane()
}

func (x *exchange) connectOnLane() verdict {
	if x.c.isGone() {
		x.stopDialing()
		x.fail(message.Client, "client_gone", nil)
		return end
	}
	up, err := x.ride.dialing.Result()
	if err == loop.ErrAgain {
		return wait
	}
	x.ride.dialing = nil
	if err != nil {
		return x.failOnLane(err)
	}
	if x.timed {
		x.stages.Connect = x.clock().Sub(x.asked.began)
	}
	return x.sendOnLane(up)
}

func (x *exchange) sendOnLane(up *upstream.Conn) verdict {
	x.ride.err = x.send(up)
	x.ride.phase = phaseAsked
	return x.hearOnLane() // begins the wait, and its time, where there is nothing yet
}

func (x *exchange) hearOnLane() verdict {
	err := x.hear(x.ride.err)
	switch {
	case err == loop.ErrAgain && x.ride.err == nil && !x.up.IsBacklogged():
		return wait
	case err == loop.ErrAgain:
		return leave
	case err != nil:
		return x.failOnLane(err)
	case slices.Contains(x.route.again.statuses, x.res.Status):
		x.ride.phase = phaseAnswered
		return leave
	}
	return next
}

// failOnLane ends the attempt of a lane. What the client or we have brought about has no
// second one.
func (x *exchange) failOnLane(err error) verdict {
	if e, ok := errors.AsType[*upstream.Error](err); ok && e.Side == message.Client {
		x.giveBack()
		return x.failed(err)
	}
	x.ride.err, x.ride.phase = err, phaseFailed
	return leave
}

// stopDialing gives up a connection that is being established.
func (x *exchange) stopDialing() {
	if x.ride.dialing != nil {
		x.ride.dialing.Cancel()
		x.ride.dialing = nil
	}
}

// forwardAfterLane is the step forward by a goroutine that took it over.
func (x *exchange) forwardAfterLane() verdict {
	r := &x.ride
	switch r.phase {
	case phaseFull:
		return x.askAll(x.pickInTurn())
	case phaseTaken:
		return x.settle(x.attemptHere())
	case phaseAsked:
		return x.settle(x.orAnew(x.hear(r.err)))
	case phaseFailed:
		return x.settle(x.orAnew(r.err))
	case phaseAnswered:
		return x.settle(nil)
	default:
		panic("BUG: an exchange left its lane in a phase that only lanes have")
	}
}

// waitOrLeave says how the step deliver goes on on a lane that cannot go on now: a client
// that does not take what it is sent is waited for by a goroutine, which also sends what
// is large and stored.
func (x *exchange) waitOrLeave() verdict {
	if x.c.nc.Backlogged() || x.cached.serving.on {
		return leave
	}
	return wait
}

// ridePieces is how many pieces of a response a lane passes on before other connections
// have their turn.
const ridePieces = 4

// isHeldUp reports whether a lane must not pass on the next piece yet, after so many.
func (x *exchange) isHeldUp(pieces int) bool {
	if x.c.nc.Backlogged() {
		return true
	}
	if pieces < ridePieces {
		return false
	}
	if x.up != nil { // else the body comes from the store
		x.up.Again()
	}
	return true
}
