package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// A segment is a file of small records, one behind the other. One segment at a time is
// written, "ID.log"; when it is full a footer is put at its end and it becomes
// "ID.seg", so that a start need not walk through it. After that nothing is written
// into it but the magic of records that were dropped.
//
// The footer: an entry of 24 bytes for each record (hash 8, id 8, offset 4 in units of
// 64 bytes, length 4), then 32 bytes (id of the segment 8, offset of the footer 8,
// number of entries 4, CRC-32C of entries and of what comes before it here 4, magic 8).
const (
	minSegment    = 1 << 20
	maxSegment    = 1 << 30
	segmentPart   = 256 // of the budget
	footerEntry   = 24
	footerTail    = 32
	magicFooter   = 0x31746f6f46726957 // "WirFoot1"
	suffixSegment = ".seg"
	suffixLog     = ".log"
)

// segmentSize is the length of segments with a budget: a 256th of it, so that eviction
// goes in small steps and few descriptors are open.
func segmentSize(budget int64) int64 {
	return roundUp(min(max(budget/segmentPart, minSegment), maxSegment), unitSize)
}

// segment is an open one.
type segment struct {
	id     uint64
	slot   uint32
	name   string
	file   File
	refs   atomic.Int32 // readers, and the shelf
	sealed atomic.Bool

	// While it is written, the tier's append lock guards the rest; later it does not change.
	end    int64 // where the next record goes
	hashes []uint64
	ats    []uint32 // as place.at
	ids    []uint64 // while it is not sealed
}

func (s *segment) retain() { s.refs.Add(1) }

func (s *segment) release() {
	if s.refs.Add(-1) == 0 {
		_ = s.file.Close() // nobody needs what it holds any more
	}
}

// note takes note of a record at the end.
func (s *segment) note(hash, id uint64, size int64) place {
	p := placeIn(s.slot, s.end, size)
	s.hashes = append(s.hashes, hash)
	s.ats = append(s.ats, p.at)
	s.ids = append(s.ids, id)
	s.end += size
	return p
}

// footerSize is that of a segment with one record more.
func (s *segment) footerSize() int64 { return int64(len(s.hashes)+1)*footerEntry + footerTail }

// footer is what is put at the end of the segment.
func (s *segment) footer() []byte {
	le := binary.LittleEndian
	b := make([]byte, 0, s.footerSize())
	for i, hash := range s.hashes {
		p := place{at: s.ats[i]}
		b = le.AppendUint64(b, hash)
		b = le.AppendUint64(b, s.ids[i])
		b = le.AppendUint32(b, uint32(p.offset()/unitSize))
		b = le.AppendUint32(b, uint32(p.hint()))
	}
	b = le.AppendUint64(b, s.id)
	b = le.AppendUint64(b, uint64(s.end))
	b = le.AppendUint32(b, uint32(len(s.hashes)))
	b = le.AppendUint32(b, crc32.Checksum(b, castagnoli))
	return le.AppendUint64(b, magicFooter)
}

// footerAt reads the tail of a segment's footer: where the footer begins and how many
// entries it has. It is pure; size is that of the file.
func footerAt(tail []byte, id uint64, size int64) (at int64, entries int, err error) {
	le := binary.LittleEndian
	if len(tail) != footerTail || le.Uint64(tail[24:]) != magicFooter || le.Uint64(tail) != id {
		return 0, 0, fmt.Errorf("segment without footer: %w", errNoRecord)
	}
	begin, n := le.Uint64(tail[8:]), int64(le.Uint32(tail[16:]))
	if begin > maxSegment || int64(begin)+n*footerEntry+footerTail != size {
		return 0, 0, fmt.Errorf("footer of an impossible length: %w", errNoRecord)
	}
	return int64(begin), int(n), nil
}

// parseFooter reads a whole footer into s. It is pure.
func (s *segment) parseFooter(b []byte, at int64, entries int) error {
	le := binary.LittleEndian
	sum := len(b) - 12
	if len(b) != entries*footerEntry+footerTail || crc32.Checksum(b[:sum], castagnoli) != le.Uint32(b[sum:]) {
		return fmt.Errorf("footer: %w", errChecksum)
	}
	for ; entries > 0; entries-- {
		off, size := int64(le.Uint32(b[16:]))*unitSize, int64(le.Uint32(b[20:]))
		if off > at {
			return fmt.Errorf("footer with a record beyond it: %w", errNoRecord)
		}
		s.hashes = append(s.hashes, le.Uint64(b))
		s.ids = append(s.ids, le.Uint64(b[8:]))
		s.ats = append(s.ats, placeIn(0, off, size).at)
		b = b[footerEntry:]
	}
	s.end = at
	return nil
}

// append puts a record, of which only its bytes are made, at the end of the segment
// that is being written, and into the index where its bans admit it. move is the place
// that it has to have until now, where it is only moved.
func (t *Tier) append(h *header, rec []byte, move *place) error {
	t.appending.Lock()
	defer t.appending.Unlock()
	s, err := t.segmentFor(int64(len(rec)))
	if err != nil {
		return err
	}
	if _, err := s.file.WriteAt(rec, s.end); err != nil {
		_ = s.file.Truncate(s.end) // what is beyond the end is written over in any case
		t.writeFailed("write to a segment", err)
		return err
	}
	p := s.note(h.hash, h.id, int64(len(rec)))
	var (
		old      place
		replaced bool
	)
	v := t.bans.admit(h.labelsOf(rec), h.mark, func() {
		if move == nil {
			old, replaced = t.index.put(h.hash, p)
		} else if t.index.move(h.hash, *move, p) {
			old, replaced = *move, true
		} else {
			old, replaced = p, true // overtaken: it is this one that goes
		}
	})
	if v == purged || v == tooOld {
		old, replaced = p, true
		err = errPurged
	}
	if replaced {
		t.discard(h.hash, old)
	}
	return err
}

// segmentFor returns the segment that takes n bytes more. The caller has the append lock.
func (t *Tier) segmentFor(n int64) (*segment, error) {
	if s := t.active; s != nil {
		if s.end+n+s.footerSize() <= t.segmentSize {
			return s, nil
		}
		t.seal()
	}
	if !t.room(t.segmentSize) {
		return nil, errFull
	}
	s := &segment{id: t.next()}
	s.name = t.segmentName(s.id, suffixLog)
	f, err := t.fs.Open(s.name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL)
	if err != nil {
		t.shelf.release(t.segmentSize)
		t.writeFailed("begin a segment", err)
		return nil, err
	}
	s.file = f
	s.refs.Store(1)
	t.shelf.add(slot{id: s.id, bytes: t.segmentSize, segment: true}, s)
	t.active = s
	return s, nil
}

// seal ends the segment that is being written. The caller has the append lock.
func (t *Tier) seal() {
	if s := t.active; s != nil {
		t.active = nil
		t.sealSegment(s)
	}
}

// sealSegment puts a footer at the end of a segment. Where that fails, the next start
// walks through it.
func (t *Tier) sealSegment(s *segment) {
	b := s.footer()
	_, err := s.file.WriteAt(b, s.end)
	if err == nil {
		name := t.segmentName(s.id, suffixSegment)
		if err = t.fs.Rename(s.name, name); err == nil {
			s.name = name
		}
	}
	if err != nil {
		_ = s.file.Truncate(s.end) // a footer counts only where the name says so
		t.writeFailed("end a segment", err)
		b = nil
	}
	s.ids = nil
	t.shelf.resize(s.slot, roundUp(s.end+int64(len(b)), pageSize)+pageSize)
	s.sealed.Store(true)
}

// tombstone makes sure that a record in a segment is not found again after a restart.
func (t *Tier) tombstone(s *segment, p place) {
	var b [4]byte
	binary.LittleEndian.PutUint32(b[:], magicDead)
	if _, err := s.file.WriteAt(b[:], p.offset()); err != nil {
		t.trouble.met("drop an object", err)
	}
}

// errPurged is that of an object that was purged before it was whole.
var errPurged = errors.New("the object was purged while it was written")
