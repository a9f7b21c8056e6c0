package l4

import (
	"time"

	"weir/l4/loop"
)

// overflowEvery is how often the kernel is asked for the datagrams that it dropped,
// while others come.
const overflowEvery = time.Second

// overflows counts the datagrams that found the receive queue of a listener full. It
// costs a system call per second, and none without traffic.
type overflows struct {
	timer loop.Timer
	known uint32 // what the kernel said last
}

// watchOverflows sees to it that what is dropped from now on is counted.
func (ul *udpListener) watchOverflows() {
	if !ul.overflows.timer.Armed() {
		ul.shard.loop.Arm(&ul.overflows.timer, overflowEvery, overflowTimer{ul})
	}
}

// countOverflows counts those since the last time.
func (ul *udpListener) countOverflows() {
	if ul.fd < 0 {
		return
	}
	if n, ok := loop.Overflows(ul.fd); ok {
		ul.counters().udp.overflowed.Add(uint64(n - ul.overflows.known)) // the kernel's number wraps around
		ul.overflows.known = n
	}
}

type overflowTimer struct{ ul *udpListener }

// Expire implements [loop.Expirer].
func (o overflowTimer) Expire(*loop.Timer) { o.ul.countOverflows() }

// Abort implements [loop.Aborter].
func (o overflowTimer) Abort() {}
