package engine

import (
	"os"
	"runtime/debug"
)

// The shares of the limit from which on the cache shrinks, and below which it may grow
// again: it gives way before anything is shed (see rises).
const (
	squeezeFrom = 0.92
	relaxBelow  = 0.88
)

// retellStep is by how much the cache's memory changes before the runtime is told: that
// stops the world for a moment.
const retellStep = 32 << 20

// cacheMemory has the cache give way when memory is short, and tells the Go runtime how
// much of the limit the cache takes, whose memory the runtime does not know of. The memory
// guard's goroutine owns it.
type cacheMemory struct {
	limit   int64             // of the process
	held    func() int64      // what the cache takes
	squeeze func(short bool)  // has it give some back, or lets it grow
	setSoft func(limit int64) // sets the runtime's soft limit; nil: that is the operator's

	squeezing bool
	told      int64
}

func (e *Engine) newCacheMemory() *cacheMemory {
	c := &cacheMemory{limit: e.memory.bytes, held: e.l7.CacheMemory, squeeze: e.l7.SqueezeCache}
	if os.Getenv("GOMEMLIMIT") == "" {
		c.setSoft = func(n int64) { debug.SetMemoryLimit(n) }
	}
	return c
}

// look acts on the share of the limit that is used.
func (c *cacheMemory) look(share float64) {
	if c.squeezing {
		c.squeezing = share >= relaxBelow
	} else {
		c.squeezing = share >= squeezeFrom
	}
	if c.squeezing || share < relaxBelow {
		c.squeeze(c.squeezing)
	}
	if c.setSoft == nil {
		return
	}
	if held := c.held(); held-c.told >= retellStep || c.told-held >= retellStep {
		c.told = held
		// A quarter is left in any case: a heap without room would be collected all the time.
		c.setSoft(max(int64(float64(c.limit)*memoryShare)-held, c.limit/4))
	}
}
