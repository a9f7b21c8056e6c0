package cache

// Put stores a response whose body is there as a whole, and takes a reference to it into
// ref, which must be zero or released. It is Begin, Write and Commit in one; Length is
// taken from body. An error means that it is not stored, ref holds nothing, and the caller
// delivers what it has.
func (s *Store) Put(o *Object, body []byte, ref *Ref) error {
	o.Length = int64(len(body))
	f, err := s.Begin(o)
	if err != nil {
		return err
	}
	f.Read(ref)
	if err := f.Write(body, nil); err != nil || f.state == passing {
		ref.Release()
		f.Abort(err)
		if err == nil {
			err = ErrFull
		}
		return err
	}
	return f.Commit()
}

// Derived finds what was derived from the object that ref holds under a name, as another
// encoding of its body, and takes a reference to it into out, which must be zero or
// released. Only complete ones are found. A derived object has a body and nothing else of
// its own: its Head and Meta are empty.
func (s *Store) Derived(ref *Ref, name string, out *Ref) bool {
	out.free()
	e := ref.entry
	sh := s.shardOf(e.hash)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for id := sh.chain(e.hash); id != 0; id = s.entries.at(id).next {
		d := s.entries.at(id)
		if d.parent == ref.id && !d.is(filling) && string(d.variantOf(s.arena.bytes(d.first))) == name {
			s.take(sh, id, out)
			return true
		}
	}
	return false
}

// BeginDerived starts to store something that is derived from the object that ref holds,
// under a name. It is removed with that object, stays when that is refreshed, and is found
// by Derived once it is committed. There are at most eight for an object; the oldest leaves
// for another. The error is ErrPurged where the object was removed or refreshed meanwhile.
func (s *Store) BeginDerived(ref *Ref, name string) (*Fill, error) {
	o := Object{Key: ref.Key(), Variant: []byte(name), Length: -1}
	return s.begin(&o, ref.entry.hash, ref.id)
}
