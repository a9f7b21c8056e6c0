package pool

import (
	"fmt"
	"sync/atomic"
)

// poisonByte fills released buffers while tracking is on. It is no valid UTF-8
// and no byte of any protocol we speak, so that it stands out wherever it leaks.
const poisonByte = 0xDB

var tracking atomic.Bool

// Track turns the checks for tests on or off: Release fills the buffer with a
// pattern, and Get panics when the pattern was changed, that is, when someone
// wrote to a buffer that was no longer his. It costs a pass over each buffer.
// Turned on, it first lets go of all idle buffers, which carry no pattern.
func Track(on bool) {
	if on {
		drop()
	}
	tracking.Store(on)
}

// drop empties all free lists.
func drop() {
	for i := range classes {
		for j := range classes[i].shard {
			s := &classes[i].shard[j]
			s.mu.Lock()
			s.head = nil
			s.idle.Store(0)
			s.mu.Unlock()
		}
	}
}

func poison(b *Buffer) {
	for i := range b.mem {
		b.mem[i] = poisonByte
	}
}

func checkPoison(b *Buffer) {
	for i, c := range b.mem {
		if c != poisonByte {
			panic(fmt.Sprintf("BUG: pool: byte %d of a buffer was changed to 0x%02x after Release", i, c))
		}
	}
}
