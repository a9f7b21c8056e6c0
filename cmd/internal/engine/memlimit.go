package engine

import (
	"math"
	"os"
	"runtime/debug"
)

// memoryShare is how much of a limit the Go heap may take; the rest is for stacks, the
// binary and what the kernel charges to a cgroup (socket buffers).
const memoryShare = 0.9

// memoryLimit is what the process may use, and how that is measured.
type memoryLimit struct {
	bytes  int64  // 0: no limit is known
	source string // of the limit, for the log
	group  cgroup // measured; zero: the process alone is
	soft   bool   // garbage does not count: the limit is the garbage collector's own
}

// limitMemory finds out how much memory there is: what the configuration says, or the
// cgroup where that is less, or GOMEMLIMIT. Unless GOMEMLIMIT is set it sets the soft
// limit of the Go runtime from it.
func limitMemory(configured int64) memoryLimit {
	l := chooseLimit(configured, memoryGroup(os.DirFS("/")), goMemoryLimit())
	if l.bytes > 0 && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(int64(float64(l.bytes) * memoryShare))
	}
	return l
}

// chooseLimit is limitMemory without side effects. A value of 0 is no limit.
func chooseLimit(configured int64, group cgroup, goLimit int64) memoryLimit {
	switch {
	case group.limit > 0 && (configured == 0 || group.limit <= configured):
		return memoryLimit{bytes: group.limit, source: "cgroup", group: group}
	case configured > 0:
		return memoryLimit{bytes: configured, source: "process.memory_limit"}
	case goLimit > 0:
		return memoryLimit{bytes: goLimit, source: "GOMEMLIMIT", soft: true}
	}
	return memoryLimit{}
}

// goMemoryLimit is GOMEMLIMIT as the runtime understood it, 0 where it is not set.
func goMemoryLimit() int64 {
	if n := debug.SetMemoryLimit(-1); os.Getenv("GOMEMLIMIT") != "" && n < math.MaxInt64 {
		return n
	}
	return 0
}
