package l4

import (
	"net/netip"
	"sync/atomic"
	"time"

	"weir/pool/limit"
)

// refusedEvery is how often the log may say that a limit of a listener refuses
// connections: a flood must not fill the disk as well.
const refusedEvery = 10 * time.Second

// refusing is what the log has said about one limit of a listener.
type refusing struct {
	next   atomic.Int64 // when it may say more: Unix time in nanoseconds
	logged atomic.Uint64
}

// refused tells the log about a connection that a limit refused, or says nothing
// where it was told lately. The count is of all since the line before.
func (sh *shard) refused(l *listener, why limit.Refusal, from netip.Addr) {
	r := &l.refusing[why]
	now := time.Now().UnixNano()
	next := r.next.Load()
	if now < next || !r.next.CompareAndSwap(next, now+int64(refusedEvery)) {
		return
	}
	total := l.limit.Refused(why)
	sh.log.Warn("connections refused", "listener", l.name, "limit", why.String(),
		"count", total-r.logged.Swap(total), "client", from)
}
