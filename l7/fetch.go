package l7

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"

	"weir/l7/cache"
	"weir/l7/message"
	"weir/l7/upstream"
	"weir/pool/backend"
	"weir/pool/metric"
)

// metricStored counts what became of responses that could have been stored.
var metricStored = metric.CacheStored

// fetch is the body of a response on its way into the store. The exchange that received
// the head takes what is there of it; if that is not all, a goroutine of its own has the
// server's connection from then on, so that no client holds up others, or its leaving
// them. All who want the response read it from the store.
type fetch struct {
	s      *Server
	rc     *routeCache
	fill   *cache.Fill
	route  *routeState
	status int
	length int64 // announced; -1: not known

	abandoned atomic.Bool // its client is gone

	up       *upstream.Conn  // of the goroutine
	member   *backend.Member // of the goroutine
	trailers []message.Field // of a whole body; to be read behind its last octet

	begun bool // by the exchange: what follows is the fetch's own business
}

// Why a fetch ends.
var (
	errNotBegun = errors.New("the exchange ended before the body")
	errUnwanted = errors.New("no client waits for the body any more")
)

// startFetch takes what there is of the body into the store, and leaves the rest to a
// goroutine.
func (x *exchange) startFetch() {
	f := x.cached.fetch
	f.begun, f.up, f.member = true, x.up, x.member
	for got := 0; got < maxInline; {
		p, err := x.up.ReadBuffered()
		if err == nil && p == nil {
			break
		}
		if f.take(p, err) {
			x.dropUpstream()
			x.c.setWanted(nil)
			return
		}
		got += len(p)
	}
	x.c.setUpstream(nil)
	x.c.setWanted(nil)
	x.up, x.member = nil, nil
	if !x.s.fetches.start(f) {
		f.fill.Abort(errNotBegun)
		f.up.Release()
		f.member.Done()
	}
}

// take takes in a piece of the body, or its end, and tells the member about that. It
// reports whether the fill has ended.
func (f *fetch) take(p []byte, err error) (done bool) {
	if err == nil {
		if err = f.fill.Write(p, f.s.fetches.quit); err == nil {
			return false
		}
		f.fill.Abort(err)
		return true
	}
	if err != io.EOF {
		f.fill.Abort(err)
		f.report(err)
		return true
	}
	f.trailers = cloneFields(f.up.Trailers())
	if err := f.fill.Commit(); err != nil {
		f.s.log.Debug("response not stored", "listener", f.rc.listener, "route", f.rc.route, "err", err)
	}
	f.member.Report(f.outcome())
	return true
}

// outcome is what a member hears of a complete response; see reportDone.
func (f *fetch) outcome() backend.Outcome {
	switch {
	case isGatewayFailure(f.status):
		return backend.GatewayError
	case isFailure(f.status):
		return backend.ServerError
	}
	return backend.Success
}

// run is the goroutine of a fetch, or its part of one that has another purpose.
func (f *fetch) run() {
	defer func() {
		if p := recover(); p != nil {
			f.s.panicked("fetch", p)
			f.fill.Abort(nil)
		}
		f.s.fetches.giveBack(f)
		f.member.Done()
	}()
	for !f.take(f.up.ReadBody()) {
		if f.isUnwanted() {
			f.fill.Abort(errUnwanted)
			return
		}
	}
}

// report tells the member about a body that broke off.
func (f *fetch) report(err error) {
	e, ok := errors.AsType[*upstream.Error](err)
	if !ok || e.Side != message.Upstream {
		return
	}
	f.route.truncated.Inc()
	f.s.log.Debug("response cut short", "listener", f.rc.listener, "route", f.rc.route, "err", err)
	switch {
	case e.Timeout:
		f.member.Report(backend.Timeout)
	case isMessage(err):
		f.member.Report(backend.ServerError)
	default:
		f.member.Report(backend.Reset)
	}
}

// isUnwanted reports whether the fetch is to be broken off: nobody reads what it fetches,
// and much of it is still to come.
func (f *fetch) isUnwanted() bool {
	if !f.abandoned.Load() || f.rc.conf.OnClientGone == "finish" {
		return false
	}
	written, readers := f.fill.Progress()
	return readers == 0 && (f.length < 0 || written < f.length/10*9)
}

// abandon says that the client for which it is fetched is gone. One that is content with
// what came so far, a range, leaves it to be stored.
func (f *fetch) abandon() {
	f.abandoned.Store(true)
	if f.begun && f.isUnwanted() {
		f.s.fetches.abort(f)
	}
}

// cloneFields copies fields with what they point to; nil for none.
func cloneFields(fields []message.Field) []message.Field {
	if len(fields) == 0 {
		return nil
	}
	out := make([]message.Field, len(fields))
	for i, f := range fields {
		out[i] = f
		out[i].Name, out[i].Value = append([]byte(nil), f.Name...), append([]byte(nil), f.Value...)
	}
	return out
}

// fetches are the fetches of a server that have a goroutine, and the requests that it
// sends behind answers.
type fetches struct {
	wg     sync.WaitGroup
	quit   chan struct{} // closed by close
	mu     sync.Mutex
	under  map[*fetch]struct{} // guarded by mu; those that may be aborted
	behind map[*conn]struct{}  // guarded by mu; as under
	closed bool                // guarded by mu
}

func (fs *fetches) init() {
	fs.quit = make(chan struct{})
	fs.under, fs.behind = make(map[*fetch]struct{}), make(map[*conn]struct{})
}

// start goes on with a fetch in a goroutine of its own, false when the server is closed.
func (fs *fetches) start(f *fetch) bool {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.closed {
		return false
	}
	fs.under[f] = struct{}{}
	fs.wg.Go(f.run)
	return true
}

// lend notes a fetch that may be aborted until giveBack; false when the server is closed.
func (fs *fetches) lend(f *fetch) bool {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if !fs.closed {
		fs.under[f] = struct{}{}
	}
	return !fs.closed
}

// giveBack ends the use of the fetch's connection.
func (fs *fetches) giveBack(f *fetch) {
	fs.mu.Lock()
	delete(fs.under, f)
	fs.mu.Unlock()
	f.up.Release()
}

// abort breaks a fetch off, unless it has ended.
func (fs *fetches) abort(f *fetch) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if _, ok := fs.under[f]; ok {
		f.up.Abort()
	}
}

// startBehind runs ask, which sends a request by c, in a goroutine, false when the server
// is closed.
func (fs *fetches) startBehind(c *conn, ask func()) bool {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.closed {
		return false
	}
	fs.behind[c] = struct{}{}
	fs.wg.Go(func() {
		defer func() {
			fs.mu.Lock()
			delete(fs.behind, c)
			fs.mu.Unlock()
		}()
		ask()
	})
	return true
}

// close ends all of it and returns when the goroutines have ended.
func (fs *fetches) close() {
	fs.mu.Lock()
	if !fs.closed {
		fs.closed = true
		close(fs.quit)
	}
	for f := range fs.under {
		f.up.Abort()
	}
	for c := range fs.behind {
		c.cancel()
	}
	fs.mu.Unlock()
	fs.wg.Wait()
}
