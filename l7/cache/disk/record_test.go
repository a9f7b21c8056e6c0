package disk

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"testing"
)

func testRecord() (header, []byte) {
	labels := appendLabels(nil, [][]byte{[]byte("l1"), {}, []byte("label")})
	vars := slices.Concat([]byte("key"), labels, []byte("meta"), []byte("head"))
	h := header{
		key: 3, labels: uint32(len(labels)), meta: 4, head: 4, room: uint32(len(vars)), body: 5,
		mark: 1<<40 + 1, id: 1<<40 + 2, hash: hashKey([]byte("key")),
	}
	return h, h.record(nil, vars, []byte("body!"))
}

func TestRecord(t *testing.T) {
	want, b := testRecord()
	if int64(len(b)) != want.size() || len(b)%unitSize != 0 {
		t.Errorf("%d bytes, want %d", len(b), want.size())
	}
	for n := range len(b) {
		h, need, err := parseHeader(b[:n])
		if err != nil {
			t.Fatalf("%d bytes: %v", n, err)
		}
		if n >= need && h != want || n < headerSize && need != headerSize {
			t.Errorf("%d bytes: needs %d, %+v", n, need, h)
		}
	}
	if string(want.keyOf(b)) != "key" || string(want.metaOf(b)) != "meta" || string(want.headOf(b)) != "head" {
		t.Errorf("parts are not where they should be")
	}
	var labels []string
	for l, rest, ok := nextLabel(want.labelsOf(b)); ok; l, rest, ok = nextLabel(rest) {
		labels = append(labels, string(l))
	}
	if fmt.Sprintf("%q", labels) != `["l1" "" "label"]` {
		t.Errorf("labels %q", labels)
	}
	for i := 4; i < headerSize+want.used(); i++ {
		c := slices.Clone(b)
		c[i] ^= 4
		if h, need, err := parseHeader(c); err == nil && len(c) >= need {
			t.Errorf("byte %d changed: %+v", i, h)
		}
	}
}

func FuzzParseHeader(f *testing.F) {
	_, b := testRecord()
	f.Add(b)
	f.Add(b[:headerSize])
	f.Add(append(slices.Clone(b), make([]byte, 100)...))
	dead := slices.Clone(b)
	dead[0] = '0'
	f.Add(dead)
	f.Fuzz(func(t *testing.T, b []byte) {
		h, need, err := parseHeader(b)
		if err != nil {
			return
		}
		if len(b) < headerSize {
			if need != headerSize {
				t.Fatalf("needs %d of a header", need)
			}
			return
		}
		if h.used() > int(h.room) || h.size() < int64(need) || h.size()%unitSize != 0 || h.size() < 0 {
			t.Fatalf("impossible: %+v, needs %d", h, need)
		}
		if len(b) < need {
			return
		}
		// What is vouched for can be written again to the same bytes, and only it counts.
		c := slices.Clone(b[:need])
		h.put(c)
		c[0] = b[0] // a dead one is written alive
		if !bytes.Equal(c, b[:need]) {
			t.Fatalf("written again it is %x, was %x", c, b[:need])
		}
		for n := range need {
			if got, want, err := parseHeader(b[:n]); err != nil || n >= headerSize && (got != h || want != need) {
				t.Fatalf("of %d bytes: %+v, %d, %v", n, got, want, err)
			}
		}
		for labels := h.labelsOf(b); ; {
			_, rest, ok := nextLabel(labels)
			if !ok {
				break
			}
			labels = rest
		}
	})
}

func FuzzJournal(f *testing.F) {
	var b bans
	f.Add(b.encode(nil, 1))
	b.add(Ban{Label: []byte("a")}, 10)
	b.add(Ban{Label: []byte("p"), Prefix: true, Soft: true}, 11)
	b.add(Ban{All: true}, 9)
	f.Add(b.encode(nil, 3))
	f.Fuzz(func(t *testing.T, p []byte) {
		var b, again bans
		g, err := b.decode(p)
		if err != nil {
			return
		}
		if g2, err := again.decode(b.encode(nil, g)); err != nil || g2 != g || again.len() != b.len() {
			t.Fatalf("written again: generation %d, %d bans, %v; was %d, %d", g2, again.len(), err, g, b.len())
		}
	})
}

func FuzzFooter(f *testing.F) {
	s := &segment{id: 7}
	s.note(1, 8, 64)
	s.note(2, 9, 4096)
	f.Add(s.footer(), int64(1<<20))
	f.Fuzz(func(t *testing.T, b []byte, size int64) {
		if len(b) < footerTail {
			return
		}
		at, n, err := footerAt(b[len(b)-footerTail:], 7, size)
		if err != nil {
			return
		}
		var s segment
		if s.parseFooter(b, at, n) != nil {
			return
		}
		for _, p := range s.ats {
			if off := (place{at: p}).offset(); off > maxSegment || off > at {
				t.Fatalf("a record at %d", off)
			}
		}
	})
}

func TestNames(t *testing.T) {
	tier := &Tier{dir: "d"}
	n := slot{id: 1<<40 + 3, hash: 0xABCDEF, bytes: 5 * pageSize}
	name := tier.fileName(&n)
	if name != "d/objects/00/0000000000abcdef-0000010000000003-5" {
		t.Errorf("name %q", name)
	}
	if got, ok := parseFileName(name[len("d/objects/00/"):]); !ok || got != n {
		t.Errorf("parsed %+v, %v", got, ok)
	}
	f := func(name string, want bool) {
		t.Helper()
		if _, ok := parseFileName(name); ok != want {
			t.Errorf("%q: %v", name, ok)
		}
	}
	f("0000000000abcdef-0000010000000003-5", true)
	f("0000000000ABCDEF-0000010000000003-5", false)
	f("0000000000abcdef-0000010000000003-0", false)
	f("0000000000abcdef-0000010000000003-", false)
	f("0000000000abcdef-0000010000000003-5-5", false)
	f("0000000000abcdef-0000010000000003", false)
	f("+000000000abcdef-0000010000000003-5", false)
	f("0000000000abcdef-0000010000000003-ffffffffffffffff", false)
	f("", false)
}

func TestBlockSum(t *testing.T) {
	const id, number = 0x0102030405060708, 0x1112131415161718
	seed := binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, id), number)
	if got, want := blockSum(id, number, []byte("block")), crc32.Checksum(append(seed, "block"...), castagnoli); got != want {
		t.Errorf("%08x, want %08x", got, want)
	}
}
