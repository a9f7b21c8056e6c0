package engine

import (
	"bytes"
	"runtime"
	"runtime/pprof"
	"strings"
)

const (
	// maxStacks is how many bytes of stacks go into one line of the log.
	maxStacks = 64 << 10
	// manyGoroutines is from when on only the loops' stacks are taken. To take all stops
	// every goroutine for about 20 µs each, also for those that find no room in the line.
	manyGoroutines = 2000
)

// stacks are the stacks of all goroutines, or of the loops alone where there are very
// many, cut after maxStacks.
func stacks() string {
	if runtime.NumGoroutine() > manyGoroutines {
		return loopStacks()
	}
	buf := make([]byte, maxStacks)
	return string(buf[:runtime.Stack(buf, true)])
}

// loopStacks takes the loops' stacks from a profile, for which the goroutines go on.
func loopStacks() string {
	var profile bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&profile, 1); err != nil {
		return err.Error()
	}
	var loops strings.Builder
	for stack := range strings.SplitSeq(profile.String(), "\n\n") {
		if strings.Contains(stack, "l4/loop.(*Loop).run") {
			loops.WriteString(stack + "\n\n")
		}
	}
	return loops.String()[:min(loops.Len(), maxStacks)]
}
