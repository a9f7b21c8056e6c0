package l7

import "weir/l7/h1"

// desk is what a goroutine needs to serve a connection, and a parked connection does
// not have. It is lent from Server.desks.
type desk struct {
	h h1.Conn
	x exchange
}

// sit lends c a desk, which is ready for its next request.
func (s *Server) sit(c *conn) *desk {
	d, _ := s.desks.Get().(*desk)
	if d == nil {
		d = new(desk)
	}
	d.h.Reset(c.stream(), c.l.options())
	x := &d.x
	x.s, x.c, x.h, x.client, x.scheme = s, c, &d.h, c.from.Remote, "http"
	if c.tls != nil {
		x.scheme = "https"
	}
	x.reset(c.l)
	return d
}

// rise takes a desk back at which a wait for a request ended with nothing read. One
// whose connection ended in any other way is left to the garbage collector: it may
// hold the rest of an exchange that broke.
func (s *Server) rise(d *desk) {
	d.x.c, d.x.l, d.x.route, d.x.member = nil, nil, nil, nil
	s.desks.Put(d)
}
