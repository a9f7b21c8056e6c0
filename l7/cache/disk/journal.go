package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"golang.org/x/sys/unix"
)

// The journal is the one file that has to be whole: it holds the generation of the
// directory, which makes marks and ids grow from one process to the next, and the bans.
// Where it is missing or broken, nobody can say which objects were purged, and all of
// them go. Entries, after the eight bytes of magicJournal:
//
//	op 1, length of payload 2, payload, CRC-32C of what comes before 4
const magicJournal = "WeirJrn1"

// The operations of the journal. Each but the first begins with its mark.
const (
	opGeneration = 'g' // generation 8; first, and only there
	opEqual      = 'e' // label's key 16
	opEqualSoft  = 'E'
	opPrefix     = 'p' // prefix, to the end
	opPrefixSoft = 'P'
	opAll        = 'a'
	opAllSoft    = 'A'
)

// journalFloor is the size below which a journal is not worth writing anew.
const journalFloor = 1 << 20

var errJournal = errors.New("the journal is broken")

// generationBits is how much of a mark counts within a generation.
const generationBits = 40

// appendEntry appends an entry.
func appendEntry(dst []byte, op byte, payload ...[]byte) []byte {
	begin := len(dst)
	dst = append(dst, op, 0, 0)
	for _, p := range payload {
		dst = append(dst, p...)
	}
	binary.LittleEndian.PutUint16(dst[begin+1:], uint16(len(dst)-begin-3))
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[begin:], castagnoli))
}

// appendBan appends the entry of a ban.
func appendBan(dst []byte, ban Ban, mark uint64) []byte {
	op, what := byte(opEqual), ban.Label
	switch {
	case ban.All:
		op, what = opAll, nil
	case ban.Prefix:
		op = opPrefix
	default:
		k := keyOfLabel(ban.Label)
		what = k[:]
	}
	return appendEntry(dst, softOp(op, ban.Soft), binary.LittleEndian.AppendUint64(nil, mark), what)
}

// softOp is the operation of the soft form of a ban: the same letter in upper case.
func softOp(op byte, soft bool) byte {
	if soft {
		return op &^ 0x20
	}
	return op
}

// encode appends the journal that holds these bans and nothing else.
func (b *bans) encode(dst []byte, generation uint64) []byte {
	b.mu.RLock()
	defer b.mu.RUnlock()
	dst = append(dst, magicJournal...)
	dst = appendEntry(dst, opGeneration, binary.LittleEndian.AppendUint64(nil, generation))
	both := func(op byte, s stamps, what []byte) {
		for _, soft := range []bool{false, true} {
			mark := s.hard
			if soft {
				mark = s.soft
			}
			if mark > 0 {
				dst = appendEntry(dst, softOp(op, soft), binary.LittleEndian.AppendUint64(nil, mark), what)
			}
		}
	}
	both(opAll, b.all, nil)
	for k, s := range b.equal {
		both(opEqual, s, k[:])
	}
	for _, p := range b.prefix {
		both(opPrefix, p.stamps, p.prefix)
	}
	return dst
}

// decode reads a journal into b, which holds nothing yet, and returns the generation.
// Any byte that is not as it was written is an error.
func (b *bans) decode(p []byte) (generation uint64, err error) {
	if len(p) < len(magicJournal) || string(p[:len(magicJournal)]) != magicJournal {
		return 0, fmt.Errorf("it does not begin as one: %w", errJournal)
	}
	at := len(magicJournal)
	for n := 0; at < len(p); n++ {
		op, payload, length := nextEntry(p[at:])
		if length == 0 {
			return 0, fmt.Errorf("entry %d at byte %d: %w", n, at, errJournal)
		}
		switch mark := binary.LittleEndian.Uint64(payload); {
		case (op == opGeneration) != (n == 0):
			return 0, fmt.Errorf("entry %d is not in its place: %w", n, errJournal)
		case op == opGeneration:
			generation = mark
		case !b.take(op, payload[8:], mark):
			return 0, fmt.Errorf("entry %d has the unknown operation %q: %w", n, op, errJournal)
		}
		at += length
	}
	if generation == 0 {
		return 0, fmt.Errorf("it has no generation: %w", errJournal)
	}
	return generation, nil
}

// nextEntry reads one entry. Its length is 0 where there is none that is whole; a
// payload has at least eight bytes.
func nextEntry(p []byte) (op byte, payload []byte, length int) {
	if len(p) < 3 {
		return 0, nil, 0
	}
	n := int(binary.LittleEndian.Uint16(p[1:]))
	if n < 8 || len(p) < 3+n+4 {
		return 0, nil, 0
	}
	if crc32.Checksum(p[:3+n], castagnoli) != binary.LittleEndian.Uint32(p[3+n:]) {
		return 0, nil, 0
	}
	return p[0], p[3 : 3+n], 3 + n + 4
}

// take takes the ban of an entry into force.
func (b *bans) take(op byte, what []byte, mark uint64) bool {
	soft := op&0x20 == 0
	switch op | 0x20 {
	case opAll:
		b.addAll(mark, soft)
	case opPrefix:
		b.addPrefix(what, mark, soft)
	case opEqual:
		if len(what) != len(labelKey{}) {
			return false
		}
		b.addEqual(labelKey(what), mark, soft)
	default:
		return false
	}
	return true
}

// journal is the open file. The tier's journal lock guards it.
type journal struct {
	file       File // nil: there is none, and it is to be written anew
	size       int64
	begun      int64 // its size when it was last written anew
	dirty      bool  // not yet durable
	generation uint64
}

// readJournal reads the journal of the last process into b. Without one, or with a
// broken one, the generation is 0.
func readJournal(fs FS, name string, b *bans) (generation uint64, err error) {
	f, err := fs.Open(name, unix.O_RDONLY)
	if err != nil {
		if errors.Is(err, unix.ENOENT) {
			return 0, nil
		}
		return 0, err
	}
	size, err := f.Size()
	var p []byte
	if err == nil {
		p = make([]byte, size)
		_, err = f.ReadAt(p, 0)
	}
	_ = f.Close() // it was only read from
	if err != nil {
		return 0, err
	}
	read := &bans{}
	generation, err = read.decode(p)
	if err != nil {
		return 0, err
	}
	b.equal, b.prefix, b.all = read.equal, read.prefix, read.all
	return generation, nil
}

// rewrite writes the journal anew, durably, with the bans there are.
func (j *journal) rewrite(fs FS, dir string, b *bans) error {
	p := b.encode(nil, j.generation)
	name, temporary := dir+"/"+journalName, dir+"/"+journalName+".new"
	f, err := fs.Open(temporary, unix.O_RDWR|unix.O_CREAT|unix.O_TRUNC)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(p, 0)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = fs.Rename(temporary, name)
	}
	if err != nil {
		_ = f.Close() // the journal before is still there
		return err
	}
	j.close()
	j.file, j.size, j.begun, j.dirty = f, int64(len(p)), int64(len(p)), false
	return fs.SyncDir(dir)
}

// add appends an entry. Where that fails, the journal is removed, so that after a
// restart nothing is served that should not be; the error says that not even that
// was possible.
func (j *journal) add(fs FS, dir string, entry []byte) (failed, err error) {
	if j.file == nil {
		return nil, nil // removed before: to be written anew, with this ban
	}
	if _, failed = j.file.WriteAt(entry, j.size); failed == nil {
		j.size += int64(len(entry))
		j.dirty = true
		return nil, nil
	}
	j.close()
	if err := fs.Remove(dir + "/" + journalName); err != nil && !errors.Is(err, unix.ENOENT) {
		return failed, err
	}
	return failed, nil
}

// sync makes what was added durable.
func (j *journal) sync() error {
	if j.file == nil || !j.dirty {
		return nil
	}
	j.dirty = false
	return j.file.Sync()
}

func (j *journal) close() {
	if j.file != nil {
		_ = j.file.Close() // what it holds was synced, or is no loss
		j.file = nil
	}
}
