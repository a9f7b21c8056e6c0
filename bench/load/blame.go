package load

import "time"

// blame tells the generator's lateness from the target's. A request that is sent
// late although a connection was free when it was due is late for the generator's
// sake, and so is all that had become due by then, whatever the connections did
// after. One that waited for a connection is not, unless the generator is known to
// have stood still meanwhile: the answer may have been there all the time.
type blame struct {
	from, until time.Duration // we stood still; what was due meanwhile is late for our sake
}

// held notes that the generator did nothing from one time to another.
func (b *blame) held(from, until time.Duration) { b.from, b.until = from, until }

// late is how late the generator was with a request that was due at due, on a
// connection that has been free since free.
func (b *blame) late(due, free, now time.Duration) time.Duration {
	if free <= due {
		b.held(due, max(b.until, now))
		return now - due
	}
	return max(now-free, b.until-max(due, b.from), 0)
}
