package cache

import (
	"bytes"
	"encoding/binary"
	"io"

	"weir/l7/cache/disk"
	"weir/l7/cache/policy"
)

// spill is an object on its way to the disk tier.
type spill struct {
	to      *onDisk
	ref     Ref
	labels  [][]byte
	mark    uint64 // of the tier, from before the object was fetched, or the 304 taken in
	refresh bool   // its body is there already, if it is the one
	was     int64  // that was received then
}

// spillFor prepares to write what is filled to the disk, where there is one. It is called
// when the fill begins.
func (s *Store) spillFor(o *Object, parent uint32) *spill {
	d := s.disk.Load()
	if d == nil || parent != 0 || o.loaded {
		return nil
	}
	return &spill{to: d, labels: labelsOf(o.Key, o.Tags), mark: d.tier.Mark()}
}

// refreshFor prepares to write another head of an object to the disk. The caller refers to
// the object.
func (s *Store) refreshFor(e *entry) *spill {
	d := s.disk.Load()
	if d == nil || e.is(derived) {
		return nil
	}
	return &spill{to: d, mark: d.tier.Mark(), refresh: true, was: e.meta.Received}
}

// announce counts a spill that is decided on before it is known whether the object stays
// in the index, so that a purge of it that comes in between knows. nil is nothing.
func (sp *spill) announce() {
	if sp != nil {
		sp.to.pending.Add(1)
	}
}

// write queues the object with the number, or takes the announcement back where ok is
// false or there is no room for it.
func (sp *spill) write(id uint32, ok bool) {
	if sp == nil {
		return
	}
	d := sp.to
	s := d.store
	if ok {
		e := s.entries.at(id)
		sh := s.shardOf(e.hash)
		sh.mu.Lock()
		s.hold(id, &sp.ref)
		sh.mu.Unlock()
		ok = d.queue(sp, e.hash)
		if !ok {
			d.outdated(sp.ref.Key())
			sp.ref.Release()
			d.skipped.Add(1)
		}
	}
	if !ok {
		d.pending.Add(-1)
	}
}

func (d *onDisk) queue(sp *spill, hash uint64) bool {
	most := d.store.allowed() / spillPart
	d.mu.Lock()
	defer d.mu.Unlock()
	length := sp.ref.length
	if d.closed || d.held.Load()+length > most {
		return false
	}
	d.held.Add(length)
	select {
	case d.jobs[hash%spillers] <- sp: // it is another's from here on
		return true
	default:
		d.held.Add(-length)
		return false
	}
}

// run writes what is queued.
func (d *onDisk) run(jobs <-chan *spill) {
	for sp := range jobs {
		d.dropStale()
		if sp != nil {
			d.writeSafely(sp)
		}
	}
}

// mostStale is how many keys are remembered of which the disk has something outdated.
// Beyond it all that is there is dropped.
const mostStale = 4096

// outdated notes that what the disk has under a key is older than what memory has, and
// will stay so: nothing of it is to be found any more, and it is dropped before the next
// write.
func (d *onDisk) outdated(key []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stale == nil {
		d.stale = make(map[string]struct{})
	}
	if len(d.stale) <= mostStale {
		d.stale[string(key)] = struct{}{}
	}
	if !d.closed {
		select {
		case d.jobs[0] <- nil: // in case that nothing else is to be written
		default:
		}
	}
}

// dropStale drops what is outdated.
func (d *onDisk) dropStale() {
	d.mu.Lock()
	stale := d.stale
	d.stale = nil
	d.mu.Unlock()
	if len(stale) > mostStale {
		// The tier has counted and logged what went wrong; the ban is in force in any case.
		_ = d.tier.Purge(disk.Ban{All: true})
		return
	}
	for key := range stale {
		d.tier.Drop(rootKey([]byte(key)))
	}
}

// isOutdated reports whether nothing that the disk has under a key is to be used.
func (d *onDisk) isOutdated(key []byte) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, is := d.stale[string(key)]
	return is || len(d.stale) > mostStale
}

// writeSafely is write, and survives a bug of ours at the price of the object.
func (d *onDisk) writeSafely(sp *spill) {
	length := sp.ref.length
	defer func() {
		if p := recover(); p != nil {
			d.bug("cache on disk", p)
		}
		sp.ref.Release()
		d.held.Add(-length)
		d.pending.Add(-1)
	}()
	if !d.write(sp) {
		d.tier.Drop(rootKey(sp.ref.Key()))
	}
}

// write writes an object to the tier. It reports whether the disk has nothing older under
// its key from now on. That it fails is the tier's to count and to log.
func (d *onDisk) write(sp *spill) bool {
	r := &sp.ref
	meta := r.meta.Append([]byte{diskWhole})
	key := rootKey(r.Key())
	if len(r.Vary()) > 0 {
		root, ok := d.root(sp)
		if !ok {
			return false
		}
		key = variantKey(root, r.Variant(), r.Key())
	}
	if sp.refresh {
		// Where the object is not there, there is nothing to refresh, and its labels are
		// not known any more.
		return d.has(key, sp.was, r.length) && d.tier.Refresh(key, meta, r.Head(), sp.mark) == nil
	}
	f, err := d.tier.Begin(disk.Item{
		Key: key, Labels: sp.labels, Meta: meta, Head: r.Head(), Length: r.length, Mark: sp.mark,
	})
	if err != nil {
		return false
	}
	for {
		b, err := r.Next(nil, 0)
		if err == io.EOF {
			return f.Commit() == nil
		}
		if err == nil {
			_, err = f.Write(b)
		}
		if err != nil {
			f.Abort()
			return false
		}
	}
}

// has reports whether the disk has under a key the response that was received then: what
// another one says must not be put before its body.
func (d *onDisk) has(key []byte, received, length int64) bool {
	o, ok := d.tier.Get(key)
	if !ok {
		return false
	}
	defer o.Close()
	m, ok := parseWhole(o.Meta)
	return ok && m.Received == received && o.Length == length
}

// root returns the number of the root of a variant, and writes the root where there is
// none with the same names. ok is false where that cannot be done.
func (d *onDisk) root(sp *spill) (number uint64, ok bool) {
	r := &sp.ref
	key := rootKey(r.Key())
	if o, found := d.tier.Get(key); found {
		number, names, ok := parseRoot(o.Meta)
		same := ok && !o.Soft && bytes.Equal(names, r.Vary())
		o.Close()
		if same {
			return number, true
		}
	}
	if sp.refresh {
		return 0, false
	}
	if number, ok = d.tier.Unique(); !ok {
		return 0, false
	}
	meta := binary.LittleEndian.AppendUint64([]byte{diskVary}, number)
	f, err := d.tier.Begin(disk.Item{
		Key: key, Labels: sp.labels[:1], Meta: append(meta, r.Vary()...), Mark: sp.mark,
	})
	if err != nil {
		return 0, false
	}
	return number, f.Commit() == nil
}

// parseRoot reads the meta of a root of variants.
func parseRoot(meta []byte) (number uint64, names []byte, ok bool) {
	if len(meta) < 10 || meta[0] != diskVary {
		return 0, nil, false
	}
	return binary.LittleEndian.Uint64(meta[1:]), meta[9:], true
}

// parseWhole reads the meta of an object.
func parseWhole(meta []byte) (policy.Meta, bool) {
	if len(meta) == 0 || meta[0] != diskWhole {
		return policy.Meta{}, false
	}
	return policy.ParseMeta(meta[1:])
}
