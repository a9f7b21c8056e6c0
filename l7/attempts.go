package l7

import (
	"errors"
	"slices"
	"strconv"
	"time"

	"weir/conf"
	"weir/l7/message"
	"weir/l7/upstream"
	"weir/pool/backend"
)

// How often a request goes out, and where to.
//
// A backend that cannot be reached has seen nothing of the request: the next one is
// tried, within twice the connect timeout, and that is not a retry. Once bytes were
// sent, a request goes out again only if its route says so for what happened, no byte
// of a response was seen (or a head that the client does not know of), and the
// request is one that may be repeated: by its method (RFC 9110 section 9.2.2), and
// without a body or with one that is held. Retries, and connects to members that are
// in trouble themselves, come out of the pool's retry budget.

// again is [l7.route.retry] in the form in which requests ask for it.
type again struct {
	methods                 []string
	tries                   int
	connect, reset, timeout bool
	statuses                []int
	tryTimeout              time.Duration
	hedge                   int // percentile; 0: never
}

func newAgain(c *conf.Retry) again {
	a := again{
		methods: append([]string{"GET", "HEAD", "OPTIONS"}, c.Methods...),
		tries:   c.Tries, tryTimeout: c.TryTimeout, hedge: c.Hedge,
	}
	if len(c.On) == 0 {
		a.connect, a.reset = true, true
	}
	for _, on := range c.On {
		switch on {
		case "connect":
			a.connect = true
		case "reset":
			a.reset = true
		case "timeout":
			a.timeout = true
		default:
			if status, err := strconv.Atoi(on); err == nil {
				a.statuses = append(a.statuses, status)
			}
		}
	}
	return a
}

// setLimits says until when the exchange may look for an answer. What the client took
// to send a body that was held is not counted.
func (x *exchange) setLimits() {
	began := x.started
	if x.first != nil || x.whole {
		began = time.Now()
	}
	x.connectBy = began.Add(2 * x.route.group.ConnectTimeout())
	if d := x.route.conf.Timeout; d > 0 {
		x.until = began.Add(d)
	}
}

// timeLeft is what is left of the route's timeout, 0 where it has none.
func (x *exchange) timeLeft() time.Duration {
	if x.until.IsZero() {
		return 0
	}
	return max(time.Until(x.until), time.Millisecond)
}

// isOver reports whether the route's timeout has passed.
func (x *exchange) isOver() bool {
	return !x.until.IsZero() && !time.Now().Before(x.until)
}

// headTimeout is how long this try may wait for the head of a response.
func (x *exchange) headTimeout() time.Duration {
	d := x.route.conf.ResponseHeaderTimeout
	if t := x.route.again.tryTimeout; t > 0 && t < d && x.mayRepeat() {
		d = t
	}
	if left := x.timeLeft(); left > 0 {
		d = min(d, left)
	}
	return d
}

// attemptHere asks the member, on a second connection where one that was kept alive
// turned out to be closed. That is no load that a backend has not had before: there
// was an exchange on that connection for each. So the budget is left alone.
func (x *exchange) attemptHere() error { return x.orAnew(x.attempt(false)) }

// orAnew makes the second attempt where the first one, on any connection, ended in an
// error that calls for it.
func (x *exchange) orAnew(err error) error {
	e, ok := errors.AsType[*upstream.Error](err)
	switch {
	case !ok || !e.Reused || x.isConsumed() || x.isOver():
		return err
	case e.Unsent():
	case e.Stale() && x.route.again.reset && x.mayRepeat():
		x.countRetry()
	default:
		return err
	}
	return x.attempt(true)
}

// mayRepeat reports whether the request may be sent once more than it was.
func (x *exchange) mayRepeat() bool {
	a := &x.route.again
	return x.retries+1 < a.tries && (x.whole || !x.req.HasBody()) && slices.Contains(a.methods, string(x.req.Method))
}

// errNoRetry is why another does not return a member.
var errNoRetry = errors.New("the request cannot be sent again")

// another returns the next member to ask after last, or an error where last is to be
// answered for.
func (x *exchange) another(last error) (*backend.Member, error) {
	e, ok := errors.AsType[*upstream.Error](last)
	if !ok || x.isConsumed() || x.isOver() {
		return nil, errNoRetry
	}
	unsent := e.Stage == upstream.StageDial || e.Unsent()
	if unsent && !x.mayGoOn(e) || !unsent && !x.mayRetry(e) {
		return nil, errNoRetry
	}
	m, err := x.pick()
	if err != nil {
		return nil, err
	}
	if !unsent {
		x.connectBy = time.Now().Add(2 * x.route.group.ConnectTimeout())
	}
	if unsent && m.Endpoint().State() == backend.StateHealthy || x.spend() {
		if !unsent {
			x.countRetry()
		}
		return m, nil
	}
	m.Done()
	return nil, errNoRetry
}

// mayGoOn reports whether another member may be asked after one that nothing was sent to.
func (x *exchange) mayGoOn(e *upstream.Error) bool {
	return x.route.again.connect && e.Side != message.Client && time.Now().Before(x.connectBy)
}

// mayRetry reports whether another member may be asked after one that the request went to.
func (x *exchange) mayRetry(e *upstream.Error) bool {
	a := &x.route.again
	return isUpstream(e) && !e.Answered && (a.timeout && e.Timeout || a.reset && !e.Timeout) && x.mayRepeat()
}

// spend takes one out of the pool's retry budget, if there is one.
func (x *exchange) spend() bool {
	if x.route.group.AllowRetry() {
		return true
	}
	x.route.denied.Inc()
	return false
}

func (x *exchange) countRetry() {
	x.retries++
	x.route.retries.Inc()
}

// replacement returns a member to ask instead of the one that has answered, nil where
// its answer is to be delivered: its status is no reason, or nobody else is left.
func (x *exchange) replacement() *backend.Member {
	a := &x.route.again
	if len(a.statuses) == 0 || !slices.Contains(a.statuses, x.res.Status) || !x.mayRepeat() || x.isOver() {
		return nil
	}
	m, err := x.route.group.Pick(&x.query)
	if err != nil {
		return nil
	}
	if !x.spend() {
		m.Done()
		return nil
	}
	x.countRetry()
	return m
}

// discard drops the response. Its connection is kept where all of it is there already.
func (x *exchange) discard() {
	x.reportDone()
	for {
		if p, _ := x.up.ReadBuffered(); p == nil { // after an error the connection is closed by Release
			break
		}
	}
	_ = x.dropConn() // the request was sent wholly, or there is no body
	x.giveBack()
}
