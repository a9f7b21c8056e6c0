package engine

import (
	"io/fs"
	"math"
	"os"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
)

// memoryShare is how much of the cgroup's limit the Go heap may take; the rest is
// for stacks, the binary and what the kernel charges to the group (socket buffers).
const memoryShare = 0.9

// limitMemory sets the soft memory limit of the Go runtime from the cgroup, unless
// GOMEMLIMIT says otherwise, and returns the limit set, 0 for none.
func limitMemory() int64 {
	if os.Getenv("GOMEMLIMIT") != "" {
		return 0
	}
	limit := cgroupMemoryMax(os.DirFS("/"))
	if limit <= 0 {
		return 0
	}
	limit = int64(float64(limit) * memoryShare)
	debug.SetMemoryLimit(limit)
	return limit
}

// cgroupMemoryMax returns the lowest memory.max of the process's cgroup (version 2)
// and of those above it, in bytes, or 0 where none is set. root is the file system.
func cgroupMemoryMax(root fs.FS) int64 {
	self, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return 0
	}
	group := ""
	for line := range strings.Lines(string(self)) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			group = strings.TrimPrefix(path.Clean("/"+rest), "/")
		}
	}
	lowest := int64(math.MaxInt64)
	for {
		text, err := fs.ReadFile(root, path.Join("sys/fs/cgroup", group, "memory.max"))
		if err == nil {
			// "max" is no number and means that this level has no limit.
			if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && n > 0 {
				lowest = min(lowest, n)
			}
		}
		if group == "" || group == "." {
			break
		}
		if group = path.Dir(group); group == "." {
			group = ""
		}
	}
	if lowest == math.MaxInt64 {
		return 0
	}
	return lowest
}
