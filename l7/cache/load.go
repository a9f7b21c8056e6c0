package cache

import (
	"time"

	"weir/l7/cache/disk"
	"weir/l7/cache/policy"
	"weir/l7/message"
)

// loadPatience is how long one waits for another to read the same object.
const loadPatience = 5 * time.Second

// OnDisk reports whether something may be on the disk for a key that Lookup has missed.
// It does not block and allocates nothing where there is no disk.
func (s *Store) OnDisk(key []byte) bool {
	d := s.disk.Load()
	return d != nil && d.tier.Has(rootKey(key))
}

// Load brings what is stored on disk for a key and fits a request into memory, and takes a
// reference to it into ref, which must be zero or released; it reports whether there was
// something. Of several that ask for one key, one reads and the others wait. It reads a
// disk, so that no loop may call it, and verifies all of the body before it returns.
func (s *Store) Load(key []byte, req *message.Request, now time.Time, ref *Ref) bool {
	ref.free()
	d := s.disk.Load()
	if d == nil {
		return false
	}
	done, first := d.enter(key)
	if !first {
		late := time.NewTimer(loadPatience)
		defer late.Stop()
		select {
		case <-done:
		case <-late.C:
			return false // the disk hangs; a server may not
		}
		return s.Lookup(key, req, now, ref) == Hit
	}
	defer d.leave(key)
	if s.Lookup(key, req, now, ref) == Hit {
		return true // somebody was quicker
	}
	if d.isOutdated(key) {
		return false
	}
	o := d.find(key, req)
	if o == nil {
		return false
	}
	defer o.Close()
	return d.take(o, key, req, now, ref)
}

// enter reports whether the caller is the first to ask for a key; others wait for done.
func (d *onDisk) enter(key []byte) (done chan struct{}, first bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if done = d.loads[string(key)]; done != nil {
		return done, false
	}
	d.loads[string(key)] = make(chan struct{})
	return nil, true
}

func (d *onDisk) leave(key []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	close(d.loads[string(key)])
	delete(d.loads, string(key))
}

// loading is what Load has found.
type loading struct {
	*disk.Object
	meta  policy.Meta
	names []byte // of Vary
	since Epoch
}

// find finds what is on disk for a request, nil where there is nothing.
func (d *onDisk) find(key []byte, req *message.Request) *loading {
	l := &loading{since: d.store.Epoch()}
	o, ok := d.tier.Get(rootKey(key))
	if !ok {
		return nil
	}
	if number, names, isRoot := parseRoot(o.Meta); isRoot {
		l.names = append([]byte(nil), names...)
		o.Close()
		variant := policy.AppendVariant(nil, l.names, req.Fields)
		if o, ok = d.tier.Get(variantKey(number, variant, key)); !ok {
			return nil
		}
	}
	l.Object = o
	if l.meta, ok = parseWhole(o.Meta); !ok {
		o.Close()
		return nil
	}
	return l
}

// take puts what was found into memory.
func (d *onDisk) take(l *loading, key []byte, req *message.Request, now time.Time, ref *Ref) bool {
	s := d.store
	o := Object{
		Key: key, Vary: l.names, Head: l.Head, Meta: l.meta, Length: l.Length, Since: l.since, loaded: true,
	}
	if len(l.names) > 0 {
		o.Variant = policy.AppendVariant(nil, l.names, req.Fields)
	}
	if l.Soft {
		o.Meta.Expire(now)
	}
	for label := range l.Labels() {
		if len(label) > 0 && label[0] == labelTag {
			o.Tags = append(o.Tags, label[1:])
		}
	}
	// Nobody is to see a body that may turn out to be broken at its end. What memory has
	// no room for, since a reload, need not be read.
	if s.tooLarge(&o, l.Length) || !l.Verify() {
		return false
	}
	f, err := s.Begin(&o)
	if err != nil {
		return false
	}
	f.Read(ref)
	for off := int64(0); off < l.Length; {
		b, err := l.Block(off)
		if err == nil {
			err = f.Write(b, nil)
		}
		if err == nil && f.state == passing {
			err = ErrFull
		}
		if err != nil {
			ref.Release()
			f.Abort(err)
			return false
		}
		off += int64(len(b))
	}
	if err := f.Commit(); err != nil {
		ref.Release()
		return false
	}
	s.counts.loaded.Add(1)
	return true
}
