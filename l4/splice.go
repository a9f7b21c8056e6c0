package l4

import (
	"golang.org/x/sys/unix"

	"weir/pool/metric"
)

// Bulk goes through pipes: splice(2) moves pages from one socket to the other
// without copying them to our memory and back. For small messages that costs two
// calls more than it saves, so a direction begins by copying, moves to a pipe after
// fullReads reads in a row that filled the scratch buffer, and goes back when what
// comes between two pauses is small.
const (
	fullReads = 2
	// pipeSize is how much one call can move. Where the user's share of pipe memory
	// (pipe-user-pages-soft) is used up, the kernel's 64 KiB stay, which work as well.
	pipeSize = 256 << 10
	// smallRun is what comes between two pauses of a direction that is no bulk.
	smallRun = 32 << 10
)

// pipe is a kernel buffer with a descriptor for each end.
type pipe struct {
	r, w int
	held int // bytes that are in it
}

// getPipe opens a pipe, nil where there is none to be had: then bytes
// are copied on.
func (sh *shard) getPipe() *pipe {
	if sh.server.pipes.Add(1) > sh.server.maxPipes {
		sh.server.pipes.Add(-1)
		return nil
	}
	r, w, err := sh.loop.Pipe()
	if err != nil {
		sh.server.pipes.Add(-1)
		return nil
	}
	return &pipe{r: r, w: w}
}

// closePipe gives the pipe up with what it holds: nobody else may ever read that.
func (sh *shard) closePipe(p *pipe) {
	sh.loop.CloseSocket(p.r)
	sh.loop.CloseSocket(p.w)
	sh.server.pipes.Add(-1)
}

// countFull decides after a read whether the direction is bulk.
func (s *session) countFull(d *direction, full bool) {
	if !full || d.copies {
		d.full = 0
		return
	}
	if d.full++; d.full < fullReads || d.buf != nil || d.eof {
		return
	}
	if d.pipe = s.shard.getPipe(); d.pipe == nil {
		d.full = 0
		return
	}
	d.run = smallRun // so that a first pause does not end it
	s.counters.spliced.Add(1)
}

// unsplice goes back to copying. The pipe must be empty.
func (s *session) unsplice(d *direction) {
	s.shard.closePipe(d.pipe)
	d.pipe, d.full = nil, 0
}

// fillPipe is fill for a direction that goes through a pipe, which is empty.
func (s *session) fillPipe(d *direction) bool {
	room := pipeSize
	if d.meter != nil {
		if room = d.meter.allow(pipeSize); room == 0 {
			return false
		}
	}
	n, err := s.shard.loop.Splice(d.src.fd, d.pipe.w, room)
	switch {
	case err == unix.EAGAIN:
		d.src.readable, d.src.toEnd = false, false
		if d.run < smallRun {
			s.unsplice(d)
		}
		d.run = 0
		return true
	case err == unix.EINTR:
		return true
	case err == unix.EINVAL:
		d.copies = true // a socket that cannot be spliced
		s.unsplice(d)
		return true
	case err != nil, n == 0 && (d.src.broken || d.src.lost):
		s.endBroken(d.src)
		return false
	case n == 0:
		d.eof = true
		return true
	}
	d.run += n
	d.bytes += uint64(n)
	d.pipe.held = n
	if d.meter != nil {
		d.meter.spent(n)
	}
	return s.flushPipe(d) || s.state != stateClosed
}

// flushPipe moves what the pipe holds on and reports whether nothing is left.
func (s *session) flushPipe(d *direction) bool {
	for d.pipe.held > 0 {
		if !d.dst.writable {
			return false
		}
		n, err := s.shard.loop.Splice(d.pipe.r, d.dst.fd, d.pipe.held)
		switch err {
		case nil:
			d.pipe.held -= n
		case unix.EINTR:
		case unix.EAGAIN:
			d.dst.writable = false
		default:
			s.broke(d.dst)
			return false
		}
	}
	return true
}

// showPipes registers the metric of pipes in use.
func (s *Server) showPipes() {
	s.metrics.GaugeFunc(metric.L4Pipes, func() float64 { return float64(s.pipes.Load()) })
}
