package disk

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// An object on the disk is a record, alone in a file or one of many in a segment:
//
//	header      64 bytes, below
//	variable    key, labels, meta, head; then room for a longer head, in files
//	body        as it was stored
//	checksums   one of 4 bytes for each block of 64 KiB of the body
//	padding     to a multiple of 64 bytes
//
// The header, all numbers little-endian:
//
//	 0  magic    4  what it is; another one where the record was dropped
//	 4  checksum 4  CRC-32C of the header from here on and of the variable part
//	 8  version  1
//	 9  flags    1
//	10  zero     2
//	12  lengths  4 x 4: key, labels, meta, head
//	28  room     4  of the variable part
//	32  body     8  its length
//	40  mark     8  purges after it count for this object
//	48  id       8  of this record, never given twice in a directory
//	56  hash     8  of the key, for the index
//
// A block's checksum begins with the record's id and the block's number, so that bytes
// which are right in another place are wrong here. Nothing else vouches for checksums
// of blocks: a wrong one fails its block.
const (
	headerSize = 64
	blockSize  = 64 << 10
	unitSize   = 64 // records begin and end at multiples of it

	magicLive = 0x31637257 // "Wrc1"
	magicDead = 0x30637257 // "Wrc0"
	version   = 1

	flagSoft = 1 // softly purged before the record was moved here
)

// What a record may hold at most. The limits keep a broken length from being believed.
const (
	maxKey    = 64 << 10
	maxLabels = 64 << 10 // together, with two bytes each for their lengths
	maxMeta   = 4 << 10
	maxHead   = 256 << 10
	maxRoom   = maxKey + maxLabels + maxMeta + maxHead + 8<<10
	maxBody   = 1 << 44
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Errors of a record that cannot be used.
var (
	errNoRecord = errors.New("no record")
	errChecksum = errors.New("wrong checksum")
)

// header is the fixed part of a record.
type header struct {
	dead   bool
	flags  uint8
	key    uint32 // lengths
	labels uint32
	meta   uint32
	head   uint32
	room   uint32
	body   int64
	mark   uint64
	id     uint64
	hash   uint64
}

// used is the length of the variable part without its room.
func (h *header) used() int { return int(h.key) + int(h.labels) + int(h.meta) + int(h.head) }

// bodyAt is where the body begins, from the record's beginning.
func (h *header) bodyAt() int64 { return headerSize + int64(h.room) }

// blocks is the number of blocks of the body.
func (h *header) blocks() int64 { return (h.body + blockSize - 1) / blockSize }

// sumsAt is where the checksums begin.
func (h *header) sumsAt() int64 { return h.bodyAt() + h.body }

// size is the length of the whole record.
func (h *header) size() int64 { return roundUp(h.sumsAt()+4*h.blocks(), unitSize) }

// put writes the header over b's first bytes and, with the variable part that follows
// there, its checksum.
func (h *header) put(b []byte) {
	le := binary.LittleEndian
	le.PutUint32(b, magicLive)
	b[8], b[9], b[10], b[11] = version, h.flags, 0, 0
	le.PutUint32(b[12:], h.key)
	le.PutUint32(b[16:], h.labels)
	le.PutUint32(b[20:], h.meta)
	le.PutUint32(b[24:], h.head)
	le.PutUint32(b[28:], h.room)
	le.PutUint64(b[32:], uint64(h.body))
	le.PutUint64(b[40:], h.mark)
	le.PutUint64(b[48:], h.id)
	le.PutUint64(b[56:], h.hash)
	le.PutUint32(b[4:], crc32.Checksum(b[8:headerSize+h.used()], castagnoli))
}

// parseHeader reads the header of the record that b begins with. It is pure. need is
// how many bytes of the record it has to see to vouch for header and variable part:
// where b is shorter, it is to be called again with as many, and h is only what the
// bytes claim. Without error and with len(b) >= need, both are what was written.
func parseHeader(b []byte) (h header, need int, err error) {
	if len(b) < headerSize {
		return header{}, headerSize, nil
	}
	le := binary.LittleEndian
	switch le.Uint32(b) {
	case magicLive:
	case magicDead:
		h.dead = true
	default:
		return header{}, 0, errNoRecord
	}
	if b[8] != version || b[10] != 0 || b[11] != 0 {
		return header{}, 0, fmt.Errorf("version %d of a record, not %d: %w", b[8], version, errNoRecord)
	}
	h.flags = b[9]
	h.key, h.labels = le.Uint32(b[12:]), le.Uint32(b[16:])
	h.meta, h.head = le.Uint32(b[20:]), le.Uint32(b[24:])
	h.room = le.Uint32(b[28:])
	body := le.Uint64(b[32:])
	h.mark, h.id, h.hash = le.Uint64(b[40:]), le.Uint64(b[48:]), le.Uint64(b[56:])
	if h.key > maxKey || h.labels > maxLabels || h.meta > maxMeta || h.head > maxHead || h.room > maxRoom ||
		body > maxBody || h.used() > int(h.room) {
		return header{}, 0, fmt.Errorf("impossible lengths: %w", errNoRecord)
	}
	h.body = int64(body)
	need = headerSize + h.used()
	if len(b) < need {
		return h, need, nil
	}
	if crc32.Checksum(b[8:need], castagnoli) != le.Uint32(b[4:]) {
		return header{}, 0, errChecksum
	}
	return h, need, nil
}

// The parts of a record's beginning b that parseHeader vouches for.

func (h *header) keyOf(b []byte) []byte { return b[headerSize:][:h.key:h.key] }

func (h *header) labelsOf(b []byte) []byte { return b[headerSize+h.key:][:h.labels:h.labels] }

func (h *header) metaOf(b []byte) []byte { return b[headerSize+h.key+h.labels:][:h.meta:h.meta] }

func (h *header) headOf(b []byte) []byte {
	return b[headerSize+h.key+h.labels+h.meta:][:h.head:h.head]
}

// blockSum is the checksum of the block with this number of a record.
func blockSum(id uint64, number int64, block []byte) uint32 {
	return crc32.Update(sumNumber(sumNumber(0, id), uint64(number)), castagnoli, block)
}

// sumNumber adds a number's eight bytes to a checksum, the lowest first. crc32.Update
// would put an array for them on the heap.
func sumNumber(sum uint32, n uint64) uint32 {
	sum = ^sum
	for range 8 {
		sum = castagnoli[byte(sum)^byte(n)] ^ sum>>8
		n >>= 8
	}
	return ^sum
}

// appendLabels appends labels as a record holds them.
func appendLabels(dst []byte, labels [][]byte) []byte {
	for _, l := range labels {
		dst = binary.LittleEndian.AppendUint16(dst, uint16(len(l)))
		dst = append(dst, l...)
	}
	return dst
}

// nextLabel cuts the first label off. ok is false at the end, and where what is left is
// no label, which a checksum has ruled out.
func nextLabel(labels []byte) (label, rest []byte, ok bool) {
	if len(labels) < 2 {
		return nil, nil, false
	}
	n := 2 + int(binary.LittleEndian.Uint16(labels))
	if n > len(labels) {
		return nil, nil, false
	}
	return labels[2:n], labels[n:], true
}

// hashKey is the name of a key in the index and in names of files. It is a secure hash
// because clients choose keys: nobody can have two keys drive each other out.
func hashKey(key []byte) uint64 {
	sum := sha256.Sum256(key)
	return binary.LittleEndian.Uint64(sum[:])
}

func roundUp(n, to int64) int64 { return (n + to - 1) / to * to }
