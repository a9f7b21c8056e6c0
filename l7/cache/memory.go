//go:build !race

package cache

import (
	"fmt"

	"golang.org/x/sys/unix"
)

const raceEnabled = false

// mapMemory gets n zero octets from the operating system, outside the Go heap: the
// collector neither scans them nor lets them count for when it runs next. Nothing in
// them may point to what the collector manages.
func mapMemory(n int) ([]byte, error) {
	b, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, fmt.Errorf("cannot map %d bytes of memory for the cache: %w", n, err)
	}
	return b, nil
}

// unmapMemory gives back what mapMemory got.
func unmapMemory(b []byte) {
	if err := unix.Munmap(b); err != nil {
		panic("BUG: cache: cannot unmap memory: " + err.Error())
	}
}

// forgetMemory lets the operating system have the pages of b, which reads as zeros
// afterwards. An error costs memory and nothing else.
func forgetMemory(b []byte) { _ = unix.Madvise(b, unix.MADV_DONTNEED) }
