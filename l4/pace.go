package l4

import (
	"time"

	"weir/conf"
	"weir/pool/limit"
)

// pacer shapes one direction of a secured session, whose goroutine sleeps while the
// rates have nothing. Nil holds nothing back.
type pacer struct {
	session *secured
	server  *Server
	own     limit.Bucket
	all     *limit.Bucket // of the listener
}

// pace gives the directions of t their pacers, where rates ask for them.
func (s *session) pace(t *secured) {
	c, sh := s.routing.conf, s.routing.listener.shaping
	t.paceUp = s.newPacer(t, c.UploadRate, &sh.up)
	t.paceDown = s.newPacer(t, c.DownloadRate, &sh.down)
}

func (s *session) newPacer(t *secured, rate conf.Size, all *shape) *pacer {
	if rate <= 0 && all.bucket.Rate() <= 0 {
		return nil
	}
	p := &pacer{session: t, server: s.shard.server, all: &all.bucket}
	p.own.SetRate(int64(rate))
	p.own.Reset(p.server.clock(), shapeStart)
	return p
}

// allow waits until some of most bytes may be read, and says how many. Once the
// session has ended it is all: reading fails then.
func (p *pacer) allow(most int) int {
	if p == nil {
		return most
	}
	for {
		now := p.server.clock()
		if n := min(enough(&p.own, now, most), enough(p.all, now, most)); n > 0 {
			return n
		}
		p.session.touch() // it is not idle, it is held back
		select {
		case <-p.session.ended:
			return most
		case <-time.After(shapeTick):
		}
	}
}

// spent is told of n bytes that were read.
func (p *pacer) spent(n int) {
	if p != nil {
		now := p.server.clock()
		p.own.Spend(now, shapeWindow, int64(n))
		p.all.Spend(now, shapeWindow, int64(n))
	}
}
