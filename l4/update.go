package l4

import (
	"errors"
	"fmt"
	"maps"

	"weir/conf"
	"weir/l4/loop"
	"weir/pool/cert"
)

// Update is a change of all listeners that was prepared. Exactly one of Commit
// and Abort must be called; until then no other update can be prepared.
type Update struct {
	s         *Server
	listeners map[string]*listener
	keys      map[string][]bindKey
	limits    []Listener
	routings  map[bindKey]*routing
	fronts    map[string]*cert.TLS // by listener; nil: it ends no TLS
	bound     map[bindKey]*binding // new ones
}

// Prepare makes ready to serve exactly these listeners. New addresses are bound
// and listen, so that nothing can fail later; addresses that stay keep their
// sockets. On an error, which names the listener and the address, everything is
// as it was.
func (s *Server) Prepare(listeners []Listener) (*Update, error) {
	s.updating.Lock()
	u := &Update{
		s: s, listeners: make(map[string]*listener), keys: make(map[string][]bindKey),
		limits: listeners, routings: make(map[bindKey]*routing), bound: make(map[bindKey]*binding),
		fronts: make(map[string]*cert.TLS),
	}
	var errs []error
	for i := range listeners {
		errs = append(errs, u.add(&listeners[i]))
	}
	u.meet()
	s.mu.Lock()
	if s.stopped {
		errs = append(errs, errStopped)
	}
	s.mu.Unlock()
	if err := errors.Join(errs...); err != nil {
		u.Abort()
		return nil, err
	}
	return u, nil
}

func (u *Update) add(l *Listener) error {
	s := u.s
	if u.listeners[l.Name] != nil {
		return fmt.Errorf("cannot use listener %q twice", l.Name)
	}
	s.mu.Lock()
	ln := s.listeners[l.Name]
	var before *cert.TLS
	if ln != nil {
		before = ln.front
	}
	s.mu.Unlock()
	if ln == nil {
		// The caps are set by Commit: an update that is given up changes nothing.
		ln = &listener{name: l.Name, perLoop: make([]counters, len(s.shards)), shaping: newShaping(s)}
	}
	u.listeners[l.Name] = ln
	r, err := newRouting(l, ln)
	if err == nil && l.Conf != nil {
		err = r.loadTLS(l.Conf, before, s.log.Warn)
	}
	if err != nil {
		return err
	}
	u.fronts[l.Name] = r.front
	var errs []error
	if err := r.options.probe(); err != nil {
		return fmt.Errorf("cannot use listener %q: %w", l.Name, err)
	}
	for i, addr := range l.Addrs {
		if err := u.addAddr(l.Name, i, addr, r); err != nil {
			errs = append(errs, fmt.Errorf("cannot listen on %q for %q: %w", addr, l.Name, err))
		}
	}
	return errors.Join(errs...)
}

// meet tells routes that lead to an L7 listener which one that is.
func (u *Update) meet() {
	for _, r := range u.routings {
		for _, to := range r.routes {
			if to.l7 != "" {
				to.web = u.listeners[to.l7]
			}
		}
	}
}

func (u *Update) addAddr(name string, i int, addr conf.Addr, r *routing) error {
	s := u.s
	key := newBindKey(name, i, addr)
	if u.routings[key] != nil {
		return errors.New("the address is used twice")
	}
	u.routings[key] = r
	u.keys[name] = append(u.keys[name], key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped || s.bindings[key] != nil {
		return nil
	}
	b, err := s.bind(addr, r.options)
	if err != nil {
		return err
	}
	u.bound[key] = b
	return nil
}

// Commit starts to accept on new addresses, swaps what listeners do, and closes
// the sockets of addresses that are gone after accepting what waits in their
// queues. Connections accepted before keep the routes they began with.
func (u *Update) Commit() {
	s := u.s
	defer s.updating.Unlock()
	s.applying.Lock()
	defer s.applying.Unlock()
	s.mu.Lock()
	if s.stopped { // between Prepare and now
		s.mu.Unlock()
		u.closeBound()
		return
	}
	for i := range u.limits {
		u.adopt(&u.limits[i])
	}
	var gone []*binding
	for key, b := range s.bindings {
		if u.routings[key] == nil {
			gone = append(gone, b)
			delete(s.bindings, key)
		}
	}
	maps.Copy(s.bindings, u.bound)
	for key, r := range u.routings {
		s.bindings[key].routing.Store(r)
		s.tune(s.bindings[key], r.options)
	}
	s.mu.Unlock()
	for _, b := range u.bound {
		s.serve(b)
	}
	s.unbind(gone)
	// Only now: what waited on the sockets of a listener is counted with it.
	s.mu.Lock()
	s.forgetListeners(u.listeners)
	s.mu.Unlock()
}

// adopt puts the caps of l in force and, where it is new, shows its metrics. s.mu is held.
func (u *Update) adopt(l *Listener) {
	s, ln := u.s, u.listeners[l.Name]
	ln.keys = u.keys[l.Name]
	ln.setFront(s.metrics, u.fronts[l.Name])
	ln.shaping.setRates(l.Conf)
	if len(ln.keys) > 0 {
		u.routings[ln.keys[0]].show(s.metrics) // all its addresses have the same
	}
	if s.listeners[l.Name] != nil {
		ln.limit.SetLimits(l.limits())
	} else {
		ln.limit = s.conns.Listener(l.Name, l.limits())
		s.listeners[l.Name] = ln
		ln.show(s.metrics)
	}
	if l.Conf != nil && l.Conf.UDP() && !ln.udp {
		ln.udp = true
		ln.showUDP(s.metrics)
	}
}

// forgetListeners drops the listeners that are gone once their last connection is,
// at L7 or here. s.mu is held.
func (s *Server) forgetListeners(kept map[string]*listener) {
	for name, ln := range s.listeners {
		if kept[name] == nil {
			ln.keys = nil
			ln.setFront(s.metrics, nil)
			if ln.limit.Count() == 0 {
				delete(s.listeners, name)
				ln.hide(s.metrics)
				s.conns.Forget(name)
			}
		}
	}
}

// Abort gives the update up and closes what Prepare bound.
func (u *Update) Abort() {
	defer u.s.updating.Unlock()
	u.closeBound()
}

func (u *Update) closeBound() {
	for _, b := range u.bound {
		b.close()
	}
}

// serve starts to accept on b.
func (s *Server) serve(b *binding) {
	for i, w := range s.shards {
		if b.fds[i] < 0 {
			continue
		}
		if b.udp != nil {
			s.serveUDP(b, i)
			continue
		}
		w.call(func() {
			ln, err := w.events.Listen(b.fds[i], b.accept[i])
			if err != nil {
				// Out of memory for the event queue. The other loops still serve the address,
				// and get what the kernel would leave waiting on this socket for ever.
				s.log.Error("cannot accept on one of the loops", "address", b.addr.String(), "loop", i, "error", err)
				loop.CloseSocket(b.fds[i])
				b.fds[i] = -1
				return
			}
			b.listeners[i] = ln
		})
	}
}

// unbind accepts what waits on these addresses and closes them.
func (s *Server) unbind(gone []*binding) {
	s.mu.Lock()
	stopped := s.stopped
	s.mu.Unlock()
	for _, b := range gone {
		b.unlink()
		for i, w := range s.shards {
			w.call(func() {
				if b.udp != nil {
					b.stopUDP(i, stopped)
				} else if ln := b.listeners[i]; ln != nil {
					ln.Close()
					b.fds[i] = -1
				}
			})
		}
		b.close()
	}
}
