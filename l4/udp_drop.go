package l4

import (
	"sync/atomic"

	"golang.org/x/sys/unix"

	"weir/pool/metric"
)

// drop says why a datagram went nowhere. It is a label of a metric.
type drop uint8

const (
	dropRefused     drop = iota // a cap was reached
	dropDraining                // no new sessions any more
	dropUnsent                  // its session found no route or no backend
	dropHeld                    // more first datagrams than are kept until the route is known
	dropTruncated               // longer than a datagram can be
	dropTooLarge                // longer than the path takes
	dropBackendFull             // the kernel has no room on the way to the backend
	dropClientFull              // the same to the client
	dropFailed                  // another error of sending
	numDrops
)

var dropNames = [numDrops]string{
	"refused", "draining", "unsent", "held", "truncated", "too_large", "backend_full", "client_full", "failed",
}

func (d drop) String() string { return dropNames[d] }

// dropOf says what an error of sending means; full is the word for a full queue.
func dropOf(errno unix.Errno, full drop) drop {
	switch errno {
	case unix.EAGAIN, unix.ENOBUFS, unix.ENOMEM:
		return full
	case unix.EMSGSIZE:
		return dropTooLarge
	}
	return dropFailed
}

// udpCounters are the counters of a listener that only UDP has.
type udpCounters struct {
	received atomic.Uint64 // datagrams
	sent     atomic.Uint64
	dropped  [numDrops]atomic.Uint64

	overflowed atomic.Uint64
}

func (c *counters) drop(why drop, n int) {
	if n > 0 {
		c.udp.dropped[why].Add(uint64(n))
	}
}

// showUDP registers the metrics that only a UDP listener has.
func (l *listener) showUDP(r *metric.Registry) {
	r.CounterFunc(metric.L4ReceivedDatagrams,
		l.sum(func(c *counters) *atomic.Uint64 { return &c.udp.received }), l.name)
	r.CounterFunc(metric.L4SentDatagrams, l.sum(func(c *counters) *atomic.Uint64 { return &c.udp.sent }), l.name)
	r.CounterFunc(metric.L4OverflowedDatagrams,
		l.sum(func(c *counters) *atomic.Uint64 { return &c.udp.overflowed }), l.name)
	for why := range numDrops {
		dropped := func(c *counters) *atomic.Uint64 { return &c.udp.dropped[why] }
		r.CounterFunc(metric.L4DroppedDatagrams, l.sum(dropped), l.name, why.String())
	}
}

// hideUDP is the opposite of showUDP.
func (l *listener) hideUDP(r *metric.Registry) {
	r.Unregister(metric.L4ReceivedDatagrams, l.name)
	r.Unregister(metric.L4SentDatagrams, l.name)
	r.Unregister(metric.L4OverflowedDatagrams, l.name)
	for why := range numDrops {
		r.Unregister(metric.L4DroppedDatagrams, l.name, why.String())
	}
}
