package disk

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"weir/pool"
)

// Item is an object to be stored, without its body. Begin copies all of it.
type Item struct {
	// Key is the whole key, compared in full; 1 byte to 64 KiB.
	Key []byte
	// Labels are what purges name, at most 64 KiB together.
	Labels [][]byte
	// Meta is the owner's, at most 4 KiB, Head too, at most 256 KiB.
	Meta, Head []byte
	// Length of the body; -1 where it is not known yet.
	Length int64
	// Mark is what Mark returned before the body was fetched; 0 is now.
	Mark uint64
}

// fileSlack is the room for a longer head that an object's file has at least; the body
// begins at a page.
const fileSlack = 1 << 10

// reserveStep is how much of the budget a growing file takes at a time.
const reserveStep = 1 << 20

// Fill is an object that is being written. One goroutine at a time may use it. It ends
// with Commit or Abort; until then nobody sees it. A body of one block stays in memory
// and goes into a segment, a longer one into a file of its own under a temporary name.
type Fill struct {
	t        *Tier
	h        header
	vars     *pool.Buffer // header and variable part
	block    *pool.Buffer // the block that is being filled; nil: none was begun
	n        int          // bytes in it
	written  int64        // bytes of the body in the file
	length   int64        // announced; -1: not
	sums     []uint32     // of the blocks that were written
	file     File         // nil: everything is in memory yet
	reserved int64
	err      error // the first one; nothing is stored any more
	ended    bool
}

// Begin begins to store an object. The error says why it cannot be.
func (t *Tier) Begin(it Item) (*Fill, error) {
	f, err := t.begin(&it)
	if err != nil {
		t.stats.refused.Add(1)
	}
	return f, err
}

func (t *Tier) begin(it *Item) (*Fill, error) {
	switch state(t.state.Load()) {
	case waiting:
		return nil, ErrNotReady
	case closed:
		return nil, ErrClosed
	case ready:
	}
	if t.trouble.resting() {
		return nil, ErrResting
	}
	labels := 0
	for _, l := range it.Labels {
		labels += 2 + len(l)
	}
	if len(it.Key) == 0 || len(it.Key) > maxKey || labels > maxLabels || len(it.Meta) > maxMeta ||
		len(it.Head) > maxHead {
		return nil, fmt.Errorf("cannot store an object with %d bytes of key, %d of labels, %d of meta, %d of head: %w",
			len(it.Key), labels, len(it.Meta), len(it.Head), ErrTooLarge)
	}
	if it.Length > t.mostBody {
		return nil, ErrTooLarge
	}
	f := &Fill{t: t, length: it.Length}
	f.h = header{
		key: uint32(len(it.Key)), labels: uint32(labels), meta: uint32(len(it.Meta)), head: uint32(len(it.Head)),
		mark: it.Mark, id: t.next(), hash: hashKey(it.Key),
	}
	if f.h.mark == 0 {
		f.h.mark = f.h.id
	}
	f.h.room = uint32(f.h.used())
	f.vars = pool.Get(headerSize + f.h.used())
	b := append(f.vars.B[:headerSize], it.Key...)
	b = appendLabels(b, it.Labels)
	b = append(b, it.Meta...)
	f.vars.B = append(b, it.Head...)
	return f, nil
}

// Write adds a piece of the body. After an error there is nothing to do but Abort;
// the body can be used by others as before.
func (f *Fill) Write(p []byte) (n int, err error) {
	for len(p) > 0 && f.err == nil {
		if f.block == nil {
			f.block = pool.Get(blockSize)
		}
		if f.n == blockSize {
			f.err = f.spill()
			continue
		}
		m := copy(f.block.B[f.n:blockSize], p)
		f.n += m
		n += m
		p = p[m:]
	}
	return n, f.err
}

// size is how much of the body there is.
func (f *Fill) size() int64 { return f.written + int64(f.n) }

// spill writes the block that is there to the file.
func (f *Fill) spill() error {
	if err := f.t.enter(); err != nil {
		return err
	}
	defer f.t.leave()
	if f.size() > f.t.mostBody {
		return ErrTooLarge
	}
	if f.file == nil {
		if err := f.open(); err != nil {
			return err
		}
	}
	at := f.h.bodyAt() + f.written
	if err := f.reserve(at + int64(f.n)); err != nil {
		return err
	}
	block := f.block.B[:f.n]
	if _, err := f.file.WriteAt(block, at); err != nil {
		f.t.writeFailed("write an object", err)
		return err
	}
	f.sums = append(f.sums, blockSum(f.h.id, int64(len(f.sums)), block))
	f.written += int64(f.n)
	f.n = 0
	return nil
}

// open begins the file.
func (f *Fill) open() error {
	f.h.room = uint32(roundUp(int64(headerSize+f.h.used()+fileSlack), pageSize) - headerSize)
	file, err := f.t.fs.Open(f.t.temporaryName(f.h.id), unix.O_RDWR|unix.O_CREAT|unix.O_EXCL)
	if err != nil {
		f.t.writeFailed("begin an object", err)
		return err
	}
	f.file = file
	return nil
}

// reserve makes sure that the file may have n bytes, its slot's page not counted.
func (f *Fill) reserve(n int64) error {
	n += pageSize
	if n <= f.reserved {
		return nil
	}
	more := max(n-f.reserved, min(reserveStep, f.t.size/1024))
	if !f.t.room(more) {
		return errFull
	}
	f.reserved += more
	return nil
}

// Commit stores the object: whoever asks for its key from now on gets it, in place of
// what was there. The error says why it is not stored; a body that is not as long as
// was announced is one reason. The Fill has ended in either case.
func (f *Fill) Commit() error {
	if f.ended {
		panic("BUG: disk: a fill was ended twice")
	}
	err := f.err
	if err == nil && f.length >= 0 && f.size() != f.length {
		err = ErrLength
	}
	body := f.size()
	if err == nil {
		err = f.commit()
	}
	if err != nil {
		f.Abort()
		return err
	}
	f.end()
	f.t.stats.stored.Add(1)
	f.t.stats.writtenBytes.Add(uint64(body))
	return nil
}

func (f *Fill) commit() error {
	if f.file == nil {
		return f.commitSmall()
	}
	if f.n > 0 {
		if err := f.spill(); err != nil {
			return err
		}
	}
	return f.commitFile()
}

// commitSmall puts the record into a segment.
func (f *Fill) commitSmall() error {
	if err := f.t.enter(); err != nil {
		return err
	}
	defer f.t.leave()
	h := &f.h
	h.body = int64(f.n)
	rec := pool.Get(int(h.size()))
	defer rec.Release()
	var body []byte
	if f.n > 0 {
		body = f.block.B[:f.n]
	}
	return f.t.append(h, h.record(rec.B[:0], f.vars.B[headerSize:], body), nil)
}

// record appends the record of a small object, with what its header stands for.
func (h *header) record(dst, vars, body []byte) []byte {
	dst = append(dst, make([]byte, headerSize)...)
	dst = append(dst, vars...)
	h.put(dst)
	dst = append(dst, body...)
	if len(body) > 0 {
		dst = binary.LittleEndian.AppendUint32(dst, blockSum(h.id, 0, body))
	}
	var padding [unitSize]byte
	return append(dst, padding[:int(h.size())-len(dst)]...)
}

// commitFile writes what was not known before, and gives the file its name.
func (f *Fill) commitFile() error {
	t := f.t
	if err := t.enter(); err != nil {
		return err
	}
	defer t.leave()
	f.h.body = f.written
	if err := f.reserve(roundUp(f.h.size(), pageSize)); err != nil {
		return err
	}
	if err := f.writeEnds(); err != nil {
		t.writeFailed("write an object", err)
		return err
	}
	n := slot{id: f.h.id, hash: f.h.hash, bytes: roundUp(f.h.size(), pageSize) + pageSize}
	var (
		err      error
		old      place
		replaced bool
	)
	v := t.bans.admit(f.h.labelsOf(f.vars.B), f.h.mark, func() {
		if err = t.rename(t.temporaryName(n.id), &n); err != nil {
			return
		}
		t.shelf.release(f.reserved - n.bytes)
		f.reserved = 0
		old, replaced = t.index.put(n.hash, place{slot: t.shelf.add(n, nil)})
	})
	if err != nil {
		t.writeFailed("store an object", err)
		return err
	}
	if v == purged || v == tooOld {
		return errPurged
	}
	if replaced {
		t.discard(n.hash, old)
	}
	_ = f.file.Close() // an error of a write that comes late is found by the checksums
	f.file = nil
	return nil
}

// rename gives a finished file its name, and makes its folder where it is the first.
func (t *Tier) rename(from string, n *slot) error {
	to := t.fileName(n)
	err := t.fs.Rename(from, to)
	if !errors.Is(err, unix.ENOENT) {
		return err
	}
	if err := t.fs.Mkdir(t.folderName(n.hash)); err != nil {
		return err
	}
	return t.fs.Rename(from, to)
}

// writeEnds writes the checksums, and last of all the header, without which the file
// is nothing.
func (f *Fill) writeEnds() error {
	sums := pool.Get(4 * len(f.sums))
	defer sums.Release()
	b := sums.B[:0]
	for _, s := range f.sums {
		b = binary.LittleEndian.AppendUint32(b, s)
	}
	if _, err := f.file.WriteAt(b, f.h.sumsAt()); err != nil {
		return err
	}
	f.h.put(f.vars.B)
	_, err := f.file.WriteAt(f.vars.B, 0)
	return err
}

// Abort ends the Fill without storing anything. After a Commit it does nothing.
func (f *Fill) Abort() {
	if f.ended {
		return
	}
	t := f.t
	t.stats.refused.Add(1)
	if f.file != nil {
		_ = f.file.Close() // what it holds is thrown away
		// After Close the next owner of the directory removes it.
		if t.enter() == nil {
			if err := t.fs.Remove(t.temporaryName(f.h.id)); err != nil {
				t.trouble.met("remove an unfinished object", err)
			}
			t.leave()
		}
		f.file = nil
	}
	if f.reserved > 0 {
		t.shelf.release(f.reserved)
		f.reserved = 0
	}
	f.end()
}

// end gives the buffers back.
func (f *Fill) end() {
	f.ended = true
	f.vars.Release()
	if f.block != nil {
		f.block.Release()
	}
	f.vars, f.block, f.sums = nil, nil, nil
}
