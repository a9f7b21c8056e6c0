// Package disk is the disk tier of the cache: a directory with a budget of bytes that
// keeps objects under keys, across restarts and kills. It knows bytes, not HTTP: a key,
// labels by which objects are purged, a small block for the owner's figures (meta), a
// head and a body.
//
//	t, err := disk.Open(disk.Options{Dir: dir, Size: 10 << 30})
//	mark := t.Mark() // before the body is fetched
//	f, err := t.Begin(disk.Item{Key: key, Labels: labels, Head: head, Length: -1, Mark: mark})
//	f.Write(piece); f.Commit() // or f.Abort()
//	if o, ok := t.Get(key); ok {
//		piece, err := o.Block(0)
//		o.Close()
//	}
//
// What a caller may rely on:
//
//   - Bytes that it is given are those that were stored, in full: each piece of 64 KiB
//     has a checksum that is verified before any byte of it leaves this package.
//   - A failing disk is a cache that misses. No error of the file system is the
//     caller's: Get has two results, and a Fill that fails is one object less. Errors
//     are counted by cause, and the log is told every ten seconds at most.
//   - A purge counts at once, for objects that are being written too, and survives a
//     restart and a kill.
//   - The directory never holds more than its budget, what is being written included.
//   - Two processes never share a directory: the second one waits, with misses, until
//     the first one has let go of it, as in an upgrade.
//
// How it is done is told where it is done: the form of an object in record.go, where
// objects lie in segment.go and fill.go, who makes room in evict.go, what a purge leaves
// behind in bans.go and journal.go, how a start finds everything again in load.go.
//
// Every call but Has, Mark and Stats may wait for a disk, so none of them belongs on an
// event loop.
package disk
