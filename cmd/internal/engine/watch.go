package engine

import (
	"context"
	"os"
	"slices"
	"syscall"
	"time"
)

// watchInterval is how often the files are looked at. A poll sees what inotify
// does not: network file systems, bind mounts, a symlink changed further up.
const watchInterval = time.Second

// fileState is what a change of a file shows in. The zero value is "cannot be read".
type fileState struct {
	path     string
	dev, ino uint64
	size     int64
	mtime    int64 // nanoseconds since 1970
}

// statFiles follows symlinks, so that an atomic swap of a link counts as a change.
func statFiles(paths []string) []fileState {
	states := make([]fileState, len(paths))
	for i, p := range paths {
		states[i].path = p
		info, err := os.Stat(p)
		if err != nil {
			continue
		}
		states[i].size, states[i].mtime = info.Size(), info.ModTime().UnixNano()
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			states[i].dev, states[i].ino = st.Dev, st.Ino
		}
	}
	return states
}

// watch calls changed when one of the files is written, replaced, removed or made,
// once it has been quiet for a whole interval, until ctx ends. files is asked anew
// at each look, so a reload may change what is watched. before is what was seen
// before the files were read first; files not in it are taken as they are now.
func watch(
	ctx context.Context, interval time.Duration, before []fileState, files func() []string, changed func(),
) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	seen, last := before, []fileState(nil)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := statFiles(files())
		quiet := slices.Equal(now, last)
		last = now
		seen = merge(seen, now) // a reload may have added files
		// A file still being written changes again by the next look.
		if quiet && !slices.Equal(now, seen) {
			changed()
			seen = now // not the state after it: a write that came meanwhile counts
		}
	}
}

// merge returns a copy of after, with the states of before for the files in both.
func merge(before, after []fileState) []fileState {
	merged := slices.Clone(after)
	for i, a := range after {
		if j := slices.IndexFunc(before, func(b fileState) bool { return a.path == b.path }); j >= 0 {
			merged[i] = before[j]
		}
	}
	return merged
}
