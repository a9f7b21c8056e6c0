package disk

import (
	"encoding/binary"
	"errors"
	"io"
	"iter"

	"golang.org/x/sys/unix"

	"weir/pool"
)

// firstRead is how much of an object's file is read at first: its head, as a rule.
const firstRead = 4 << 10

// sumsRead is how many checksums of blocks are read at a time.
const sumsRead = 256

// Object is a stored object that is being read. Its slices are the tier's and live until
// Close. One goroutine at a time may use it. That it is purged, replaced or evicted
// meanwhile does not change what it reads.
type Object struct {
	Meta, Head []byte
	// Length of the body.
	Length int64
	// Mark is that of the Item.
	Mark uint64
	// Soft says that a soft purge hit it: it is to be revalidated before it is used.
	Soft bool

	t     *Tier
	h     header
	at    place
	id    uint64   // of the slot
	seg   *segment // it lies in, or
	file  File     // of its own
	first *pool.Buffer
	whole bool         // first has all of the record
	block *pool.Buffer // the block that was read last
	have  int64        // its number; -1: none
	sums  *pool.Buffer // checksums
	from  int64        // the block of the first of them; -1: none were read
	err   error        // of a block; no more are read
}

// Get finds the object of a key. All of a small body, up to 64 KiB, has been verified
// then; of a longer one each block is when it is read. Whatever goes wrong is a miss.
// The caller has to Close the object.
func (t *Tier) Get(key []byte) (*Object, bool) {
	o, ok := t.get(key)
	if ok {
		t.stats.hits.Add(1)
	} else {
		t.stats.misses.Add(1)
	}
	return o, ok
}

func (t *Tier) get(key []byte) (*Object, bool) {
	if state(t.state.Load()) != ready {
		return nil, false
	}
	hash := hashKey(key)
	p, n, seg, ok := t.index.find(hash, t.shelf)
	if !ok {
		return nil, false
	}
	o := &Object{t: t, at: p, id: n.id, seg: seg, have: -1, from: -1}
	if err := o.readFirst(hash, &n); err != nil {
		t.unreadable(hash, o.at, o.id, err)
		o.Close()
		return nil, false
	}
	if o.h.dead || string(o.h.keyOf(o.first.B)) != string(key) {
		if o.h.dead {
			t.index.remove(hash, o.at) // footers do not tell who was dropped later
		}
		o.Close()
		return nil, false
	}
	if !o.judge() {
		o.Close()
		return nil, false
	}
	o.Meta, o.Head = o.h.metaOf(o.first.B), o.h.headOf(o.first.B)
	o.Length, o.Mark = o.h.body, o.h.mark
	return o, true
}

// judge asks the bans, and drops the object that they hit.
func (o *Object) judge() bool {
	switch o.t.bans.judge(o.h.labelsOf(o.first.B), o.h.mark) {
	case purged:
		o.t.stats.purged.Add(1)
		o.t.drop(o.h.hash, o.at)
		return false
	case softly:
		o.Soft = true
	default:
		o.Soft = o.h.flags&flagSoft != 0
	}
	return true
}

// readFirst reads the record's head and verifies it; of a small object the body too.
func (o *Object) readFirst(hash uint64, n *slot) error {
	if o.seg != nil {
		return o.readSmall()
	}
	f, err := o.t.fs.Open(o.t.fileName(n), unix.O_RDONLY)
	if err != nil {
		return err
	}
	o.file = f
	lock := &o.t.heads[hash%indexShards]
	lock.RLock()
	err = o.readHead(f, 0, firstRead)
	lock.RUnlock()
	if err == nil && (o.h.id != n.id || roundUp(o.h.size(), pageSize)+pageSize != n.bytes) {
		return errNoRecord // a file under another's name
	}
	return err
}

// readHead reads the head of the record at an offset into first, at least n bytes of it
// where there are as many.
func (o *Object) readHead(f File, off int64, n int) error {
	for {
		if o.first != nil {
			o.first.Release()
		}
		o.first = pool.Get(n)
		got, err := f.ReadAt(o.first.B[:n], off)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		o.first.B = o.first.B[:got]
		h, need, perr := parseHeader(o.first.B)
		if perr != nil {
			return perr
		}
		if got >= need {
			o.h = h
			return nil
		}
		if err != nil || need <= n {
			return io.ErrUnexpectedEOF
		}
		n = need
	}
}

// readSmall reads a whole record of a segment and verifies all of it.
func (o *Object) readSmall() error {
	off := o.at.offset()
	if err := o.readHead(o.seg.file, off, max(o.at.hint(), firstRead)); err != nil {
		return err
	}
	if o.h.dead {
		return nil
	}
	if o.h.body > blockSize {
		return errNoRecord
	}
	if size := int(o.h.size()); len(o.first.B) < size {
		if err := o.readHead(o.seg.file, off, size); err != nil {
			return err
		}
		if len(o.first.B) < size {
			return io.ErrUnexpectedEOF
		}
	}
	o.whole = true
	if o.h.body == 0 {
		return nil
	}
	sum := binary.LittleEndian.Uint32(o.first.B[o.h.sumsAt():])
	if blockSum(o.h.id, 0, o.body()) != sum {
		return errChecksum
	}
	return nil
}

// body is that of a small object.
func (o *Object) body() []byte { return o.first.B[o.h.bodyAt():o.h.sumsAt()] }

// Labels are the labels of the Item.
func (o *Object) Labels() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		labels := o.h.labelsOf(o.first.B)
		for {
			label, rest, ok := nextLabel(labels)
			if !ok || !yield(label) {
				return
			}
			labels = rest
		}
	}
}

// Block returns the bytes of the body from off to the end of its block of 64 KiB,
// verified. They live until the next call. At the end of the body the error is io.EOF;
// another one means that the rest cannot be had, and that the object was dropped: what
// was begun with it must not be made to look complete.
func (o *Object) Block(off int64) ([]byte, error) {
	if off < 0 || off >= o.Length {
		return nil, io.EOF
	}
	if o.whole {
		o.t.stats.readBytes.Add(uint64(o.Length - off))
		return o.body()[off:], nil
	}
	if o.err != nil {
		return nil, o.err
	}
	if n := off / blockSize; n != o.have {
		if o.err = o.read(n); o.err != nil {
			o.t.unreadable(o.h.hash, o.at, o.id, o.err)
			return nil, o.err
		}
	}
	piece := o.block.B[off%blockSize:]
	o.t.stats.readBytes.Add(uint64(len(piece)))
	return piece, nil
}

// read reads a block and verifies it.
func (o *Object) read(n int64) error {
	if err := o.readSums(n); err != nil {
		return err
	}
	if o.block == nil {
		o.block = pool.Get(blockSize)
	}
	o.have = -1
	size := min(o.h.body-n*blockSize, blockSize)
	o.block.B = o.block.B[:size]
	if _, err := o.file.ReadAt(o.block.B, o.h.bodyAt()+n*blockSize); err != nil {
		return err
	}
	sum := binary.LittleEndian.Uint32(o.sums.B[4*(n-o.from):])
	if blockSum(o.h.id, n, o.block.B) != sum {
		return errChecksum
	}
	o.have = n
	return nil
}

// readSums makes sure that the checksum of a block is there.
func (o *Object) readSums(n int64) error {
	if o.from >= 0 && n >= o.from && n-o.from < sumsRead {
		return nil
	}
	if o.sums == nil {
		o.sums = pool.Get(4 * sumsRead)
	}
	o.from = -1
	from := n / sumsRead * sumsRead
	size := 4 * min(o.h.blocks()-from, sumsRead)
	if _, err := o.file.ReadAt(o.sums.B[:size], o.h.sumsAt()+4*from); err != nil {
		return err
	}
	o.from = from
	return nil
}

// ReadAt reads the body as io.ReaderAt does, verified bytes only.
func (o *Object) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		piece, err := o.Block(off + int64(n))
		if err != nil {
			return n, err
		}
		n += copy(p[n:], piece)
	}
	return n, nil
}

// Verify reads all of the body and reports whether it is as it was stored. After it,
// only a disk that fails within moments makes a Block fail: a caller that cannot take
// back what it has begun to send calls it first, for bodies that are not too long.
func (o *Object) Verify() bool {
	for off := int64(0); off < o.Length; off += blockSize {
		if _, err := o.Block(off); err != nil {
			return false
		}
	}
	return true
}

// Close gives back what the object holds. It must not be used after that.
func (o *Object) Close() {
	if o.t == nil {
		panic("BUG: disk: an object was closed twice")
	}
	o.t = nil
	for _, b := range []**pool.Buffer{&o.first, &o.block, &o.sums} {
		if *b != nil {
			(*b).Release()
			*b = nil
		}
	}
	if o.seg != nil {
		o.seg.release()
	}
	if o.file != nil {
		_ = o.file.Close() // it was only read from
	}
	o.Meta, o.Head, o.seg, o.file = nil, nil, nil, nil
}
