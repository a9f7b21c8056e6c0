package loop

import "time"

// clockFresh is how often a loop asks for the time of day.
const clockFresh = 100 * time.Millisecond

// clock is the time of day of a loop, which counts on from when it last looked.
type clock struct {
	looked time.Time
	since  time.Duration // looked, as a time since the loop's epoch
}

// at is the time at now, which is counted from epoch.
func (c *clock) at(epoch time.Time, now time.Duration) time.Time {
	if c.looked.IsZero() || now-c.since >= clockFresh {
		c.looked = time.Now()
		c.since = c.looked.Sub(epoch)
	}
	return c.looked.Add(now - c.since)
}
