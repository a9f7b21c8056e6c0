package torture

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// patience is how long anything may take that has no limit of its own. What takes
// longer hangs.
const patience = 30 * time.Second

// stage is where it all happens: one Weir, backends before which it stands, and the
// oracle that watches.
type stage struct {
	opts   Options
	oracle *oracle
	crowd  *crowd // bystanders
	weir   *child
	admin  string

	addr     map[string]string // by listener
	pools    map[string][]*backend
	hole     *hole
	identity *identity // of the TLS backends, and of Weir
}

func (s *stage) patience() time.Duration { return patience }

// The pools that do not belong to a row, with what their backends speak.
var sharedPools = []struct {
	name  string
	n     int
	serve func(*backend, *peer)
}{
	{"calm", 2, serveHTTP},
	{"calmraw", 2, serveStream},
	{"mob", 3, serveHTTP},
	{"mobraw", 2, serveStream},
}

// newStage starts the backends.
func newStage(opts Options) (_ *stage, err error) {
	s := &stage{opts: opts, oracle: newOracle(), pools: map[string][]*backend{}}
	s.crowd = newCrowd(s)
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.identity, err = newIdentity(); err != nil {
		return nil, err
	}
	if err = s.identity.write(opts.Dir); err != nil {
		return nil, err
	}
	if s.hole, err = newHole(); err != nil {
		return nil, err
	}
	for _, p := range sharedPools {
		if s.pools[p.name], err = startBackends(s.oracle, p.n, p.serve); err != nil {
			return nil, err
		}
	}
	for i := range rows {
		r := &rows[i]
		serve := serveHTTP
		if r.tls {
			serve = s.identity.serve
		}
		if s.pools[r.pool()], err = startBackends(s.oracle, r.backends, serve); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// launchAttempts is how often Weir is started anew because somebody took one of its
// ports in the moment between finding and binding it.
const launchAttempts = 5

// launch starts Weir before the backends.
func (s *stage) launch(ctx context.Context) error {
	for attempt := 1; ; attempt++ {
		addrs, err := freePorts(len(listenerNames) + 1)
		if err != nil {
			return err
		}
		s.addr, s.admin = map[string]string{}, addrs[0]
		for i, name := range listenerNames {
			s.addr[name] = addrs[i+1]
		}
		s.weir, err = startChild(ctx, s.launchOf(variant{}))
		if err == nil || attempt == launchAttempts || ctx.Err() != nil {
			return err
		}
	}
}

func (s *stage) launchOf(v variant) launch {
	return launch{
		argv: s.opts.Weir, dir: s.opts.Dir, admin: s.admin, config: s.config(v),
		head: `drain_timeout = "10s"`,
	}
}

// close ends what is left.
func (s *stage) close() {
	if s.weir != nil {
		s.weir.kill()
	}
	for _, pool := range s.pools {
		closeBackends(pool)
	}
	if s.hole != nil {
		s.hole.close()
	}
}

// scene is one performance of a row.
type scene struct {
	*stage
	ctx  context.Context
	row  *row
	rng  *rand.Rand
	pool []*backend // the row's own

	mu    sync.Mutex
	notes []Figure

	encrypted bool // its clients speak TLS, where it makes no difference to the row
}

// Figure is a time that was measured beside what is promised.
type Figure struct {
	Name    string        `json:"name"`
	Worst   time.Duration `json:"worst_ns"`
	Promise time.Duration `json:"promise_ns"`
}

func (s *scene) host() string { return s.row.pool() + ".test" }

// webClient is a client of the listener "web", or of the same with TLS.
func (s *stage) webClient(host string, encrypted bool) *client {
	listener := "web"
	if encrypted {
		listener = "secure"
	}
	return &client{stage: s, addr: s.addr[listener], host: host, tls: encrypted}
}

// client is a client of the row's own pool.
func (s *scene) client() *client { return s.webClient(s.host(), s.encrypted) }

// plain is one that never speaks TLS.
func (s *scene) plain() *client { return s.webClient(s.host(), false) }

// fresh is one that connects anew for each request.
func (s *scene) fresh() *client {
	c := s.client()
	c.fresh = true
	return c
}

// note keeps a time. It is an error beyond what is promised and what the machine
// itself takes now for a request without Weir, times the slack.
func (s *scene) note(name string, took, promise time.Duration) error {
	s.mu.Lock()
	s.notes = append(s.notes, Figure{name, took, promise})
	s.mu.Unlock()
	if limit := s.limit(promise); took > limit {
		return fmt.Errorf("%s took %s: promised are %s, allowed %s here and now",
			name, round(took), promise, round(limit))
	}
	return nil
}

// limit is how long something may take that is promised within a time.
func (s *stage) limit(promise time.Duration) time.Duration {
	return time.Duration(s.opts.Slack * float64(promise+s.crowd.noise()))
}

// until polls for something that must come to be within a promised time.
func (s *scene) until(name string, promise time.Duration, f func() bool) error {
	start := time.Now()
	for !f() {
		if time.Since(start) > max(s.limit(promise), patience) || !pause(s.ctx, retryPause/10) {
			return fmt.Errorf("%s: not within %s", name, round(time.Since(start)))
		}
	}
	return s.note(name, time.Since(start), promise)
}

// want is an error unless an answer has this class, and this status where it is not 0.
func want(a answer, c class, status int) error {
	if a.class == c && (status == 0 || a.status == status) {
		return nil
	}
	what := c.String()
	if status != 0 {
		what = fmt.Sprintf("%s with status %d", what, status)
	}
	return fmt.Errorf("request %d: %s (status %d, %d bytes, after %s, %s), want %s",
		a.id, a.class, a.status, a.n, round(a.took), why(a.err), what)
}

// why is the text of an error, which there need not be.
func why(err error) string {
	if err == nil {
		return "no error"
	}
	return err.Error()
}

// each runs f n times and returns the first error.
func each(n int, f func(i int) error) error {
	for i := range n {
		if err := f(i); err != nil {
			return err
		}
	}
	return nil
}

// all runs f n times at once.
func all(n int, f func(i int) error) error {
	errs := make([]error, n)
	var g sync.WaitGroup
	for i := range n {
		g.Go(func() { errs[i] = safely(func() error { return f(i) }) })
	}
	g.Wait()
	return errors.Join(errs...)
}

// safely turns a panic, which is a bug of ours, into an error.
func safely(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("BUG: %v", v)
		}
	}()
	return f()
}

// round cuts d to three digits or so, for people.
func round(d time.Duration) time.Duration {
	for unit := time.Second; unit > time.Nanosecond; unit /= 10 {
		if d >= unit {
			return d.Round(unit / 100)
		}
	}
	return d
}
