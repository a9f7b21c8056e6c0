package l7

import (
	"errors"
	"net"
	"time"

	"weir/l4/loop"
	"weir/l7/message"
)

// alone makes an exchange that asks a server for what x asks for, without a client: it
// may go on when x is over. It takes copies of all that it needs. It belongs to one
// goroutine, is not logged, and must end with dropUpstream.
func (x *exchange) alone() (*exchange, error) {
	r := &x.req
	head := make([]byte, 0, x.headSize())
	head = append(head, r.Method...)
	head = append(head, ' ')
	head = append(head, r.Path...)
	if r.HasQuery {
		head = append(head, '?')
		head = append(head, r.Query...)
	}
	head = append(head, " HTTP/1.1\r\n"...)
	if !r.Has(message.Host) && r.Authority != nil {
		head = message.AppendField(head, fieldHost, r.Authority)
	}
	for i := range r.Fields {
		if f := &r.Fields[i]; !f.Hop && f.Known != message.Expect {
			head = message.AppendField(head, f.Name, f.Value)
		}
	}
	head = append(head, '\r', '\n')

	d := &desk{}
	d.h.Reset(nowhere{}, x.l.options())
	n := &d.x
	from := x.c.from
	n.s, n.h, n.client, n.scheme = x.s, &d.h, x.client, x.scheme
	n.c = &conn{s: x.s, name: x.c.name, l: x.l, from: loop.Handover{
		FD: -1, Remote: from.Remote, Local: from.Local, Destination: from.Destination,
		TLVs: from.TLVs, SNI: from.SNI,
	}}
	n.reset(x.l)
	// The target may be longer than the listener allows by now, after a reload.
	limits := message.Limits{
		MaxHead: len(head), MaxFields: len(r.Fields) + 1, MaxURI: len(head),
		AllowEncodedSlash: x.l.limits.AllowEncodedSlash,
	}
	if k, err := n.req.Parse(head, &limits); err != nil || k != len(head) {
		return nil, errors.Join(errCopy, err)
	}
	n.trusted, n.route, n.started = x.trusted, x.route, time.Now()
	n.id = append(n.id, x.requestID()...)
	n.fillLookup()
	if a := n.route.act; a != nil {
		n.beginValues(a)
		if n.rewrite(a) != next {
			return nil, errCopy
		}
	}
	return n, nil
}

// errCopy is why a request cannot be sent without its client. It was sent by the client
// in the same form, so there is no such request.
var errCopy = errors.New("the copy of a request is not one")

// nowhere is the client's connection of an exchange without a client. What is written
// to it, interim responses, is dropped; nothing comes from it.
type nowhere struct{}

func (nowhere) Read([]byte) (int, error)         { return 0, net.ErrClosed }
func (nowhere) Write(p []byte) (int, error)      { return len(p), nil }
func (nowhere) Close() error                     { return nil }
func (nowhere) LocalAddr() net.Addr              { return nil }
func (nowhere) RemoteAddr() net.Addr             { return nil }
func (nowhere) SetDeadline(time.Time) error      { return nil }
func (nowhere) SetReadDeadline(time.Time) error  { return nil }
func (nowhere) SetWriteDeadline(time.Time) error { return nil }

var _ net.Conn = nowhere{}
