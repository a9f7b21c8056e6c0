package engine

import (
	"io/fs"
	"math"
	"path"
	"strconv"
	"strings"
)

// cgroup is what limits the memory of the process and of those that share its group.
// The zero value limits nothing.
type cgroup struct {
	limit int64  // bytes; 0: none
	usage string // the file with what the group uses, below the root of the file system
	stat  string // the file that tells what of it are pages of files
	file1 string // of stat: the fields with them
	file2 string
}

// hierarchy is where a version of cgroups has its files.
type hierarchy struct {
	mount, limit, usage string
	file1, file2        string // of memory.stat, for the group and those below it
}

var (
	version1 = hierarchy{
		"sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
		"total_active_file", "total_inactive_file",
	}
	version2 = hierarchy{"sys/fs/cgroup", "memory.max", "memory.current", "active_file", "inactive_file"}
)

// unlimited is from where on a limit is none: version 1 has no other word for it.
const unlimited = 1 << 60

// memoryGroup finds the lowest limit of memory of the process's cgroups, of either
// version, and of those above them. root is the file system.
func memoryGroup(root fs.FS) cgroup {
	lowest := cgroup{limit: math.MaxInt64}
	self, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return cgroup{}
	}
	for line := range strings.Lines(string(self)) {
		_, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, group, _ := strings.Cut(rest, ":")
		group = strings.TrimPrefix(path.Clean("/"+group), "/")
		switch {
		case strings.HasPrefix(line, "0::"):
			version2.lowest(root, group, &lowest)
		case controllers == "memory" || strings.HasPrefix(controllers, "memory,") ||
			strings.HasSuffix(controllers, ",memory"):
			version1.lowest(root, group, &lowest)
		}
	}
	if lowest.limit >= unlimited {
		return cgroup{}
	}
	return lowest
}

// lowest puts into g the group with the lowest limit from group upwards, if that is
// lower than what g has.
func (h *hierarchy) lowest(root fs.FS, group string, g *cgroup) {
	for {
		dir := path.Join(h.mount, group)
		// "max" is no number and means that this level has no limit.
		text, err := fs.ReadFile(root, path.Join(dir, h.limit))
		if n, errNumber := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil &&
			errNumber == nil && n > 0 && n < g.limit {
			*g = cgroup{
				limit: n, usage: path.Join(dir, h.usage), stat: path.Join(dir, "memory.stat"),
				file1: h.file1, file2: h.file2,
			}
		}
		if group == "" || group == "." {
			return
		}
		if group = path.Dir(group); group == "." {
			group = ""
		}
	}
}
