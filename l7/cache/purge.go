package cache

import (
	"bytes"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"weir/l7/cache/policy"
)

// Epoch counts the purges of a store. Whoever fetches something notes it before the request
// is sent: what comes is older than any purge after that.
type Epoch uint32

// Selector says what is purged: exactly one of its fields beside Soft is set.
type Selector struct {
	Key  []byte // all variants that are stored under it
	Host []byte // whatever has this host in its URL, in lower case, with its port if that is not the scheme's
	// Path, with Host, makes it what has a path that begins with it, in its canonical form.
	Path []byte
	Tag  []byte // whatever is tagged with it
	All  bool

	// Soft makes objects stale instead of removing them: they may still be revalidated,
	// and used as stale ones may.
	Soft bool
}

// purge is a Selector in force, with copies of what it selects.
type purge struct {
	Selector
	tag   uint64
	epoch Epoch
	now   time.Time
	swept bool // guarded by purges.sweep
	hit   int  // guarded by purges.sweep
}

// purges are those that a sweep has not carried out yet, which each lookup asks, and the
// last ones, which each new object is held against: it may have been fetched before.
type purges struct {
	active atomic.Pointer[[]*purge]
	epoch  atomic.Uint32

	sweep sync.Mutex // held by who sweeps; before mu

	stored tagFilter

	mu     sync.Mutex
	tags   tagPurges            // guarded by mu
	recent [recentPurges]*purge // the oldest is replaced; those of keys and tags are not among them
	begun  int                  // how many have stood in recent
}

// recentPurges is how many purges of more than a key or a tag are remembered. What was fetched before
// the oldest of them is not stored.
const recentPurges = 1024

// Epoch returns the number of purges so far.
func (s *Store) Epoch() Epoch { return Epoch(s.purges.epoch.Load()) + 1 }

// Purge removes what sel says, or makes it stale, and returns how many objects that were,
// those that derive from others not counted. It takes effect before the first of them is
// touched, for what is being fetched as well: no Lookup that begins after Purge was called
// and returns after Purge took its lock finds what it hits, and no Lookup after Purge
// returned does. It looks at every object unless sel names a key, or a tag that none has,
// some 20 million in a second; purges that come meanwhile are carried out together.
func (s *Store) Purge(sel *Selector, now time.Time) int {
	if sel.Key != nil {
		there := s.purgeDisk(sel)
		defer s.purgeDisk(sel)
		n := s.purgeKey(sel, now)
		s.counts.purged.Add(uint64(n))
		if there && n == 0 {
			return 1 // on disk alone
		}
		return n
	}
	p := &purge{Selector: *sel, now: now}
	p.Host, p.Path = bytes.Clone(sel.Host), bytes.Clone(sel.Path)
	if sel.Tag != nil {
		p.tag = s.hash(sel.Tag)
		p.Tag = bytes.Clone(sel.Tag)
	}
	there := s.purgeDisk(sel)
	defer s.purgeDisk(sel)
	if !s.purges.begin(p) {
		return 0
	}
	s.purges.sweep.Lock()
	defer s.purges.sweep.Unlock()
	if !p.swept {
		s.carryOut(s.purges.pending())
	}
	s.counts.purged.Add(uint64(p.hit))
	if there && p.hit == 0 {
		return 1 // on disk alone
	}
	return p.hit
}

// begin puts a purge into force, and reports whether there may be something in the index
// that it hits. What is put there from now on is held against it.
func (u *purges) begin(p *purge) (any bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	p.epoch = Epoch(u.epoch.Add(1))
	if p.Tag != nil {
		u.tags.add(p.tag, p.epoch, p.Soft)
		if !u.stored.has(p.tag) {
			return false
		}
	} else {
		u.recent[u.begun%recentPurges] = p
		u.begun++
	}
	next := append(slices.Clone(u.pending()), p)
	u.active.Store(&next)
	return true
}

// pending returns the purges that are not carried out yet.
func (u *purges) pending() []*purge {
	if list := u.active.Load(); list != nil {
		return *list
	}
	return nil
}

// end takes purges that were carried out off the list of those that lookups ask.
func (u *purges) end(list []*purge) {
	u.mu.Lock()
	defer u.mu.Unlock()
	next := slices.DeleteFunc(slices.Clone(u.pending()), func(p *purge) bool { return slices.Contains(list, p) })
	if len(next) == 0 {
		u.active.Store(nil)
		return
	}
	u.active.Store(&next)
}

// hits reports whether a purge since o was fetched keeps it from being stored, and the
// number of purges it was held against. Where only soft ones hit it, its Meta expires. tags
// are the hashes of its tags. The shard of its hash is locked.
func (u *purges) hits(s *Store, o *Object, hash uint64, tags []byte) (seen uint32, hit bool) {
	now := u.epoch.Load()
	if o.Since == 0 || uint32(o.Since) > now {
		return now, false
	}
	if s.shardOf(hash).keyPurges.hits(o, hash) {
		return now, true
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	hard, soft := u.tags.hits(tags, o.Since)
	if hard {
		return now, true
	}
	if soft {
		o.Meta.Expire(time.Unix(0, o.Meta.Received))
	}
	for i := u.begun - 1; i >= 0; i-- {
		if i < u.begun-recentPurges {
			return now, true // nobody knows any more what it was
		}
		p := u.recent[i%recentPurges]
		switch {
		case p.epoch < o.Since:
			return now, false
		case !p.hitsKey(o.Key):
		case !p.Soft:
			return now, true
		default:
			o.Meta.Expire(p.now)
		}
	}
	return now, false
}

// hitsKey is for purges by anything but a tag.
func (p *purge) hitsKey(key []byte) bool {
	switch {
	case p.All:
		return true
	case p.Key != nil:
		return bytes.Equal(p.Key, key)
	case p.Host != nil:
		_, host, path, ok := policy.KeyURL(key)
		return ok && bytes.Equal(host, p.Host) && bytes.HasPrefix(path, p.Path)
	}
	return false
}

// hitsEntry reports whether a purge hits an entry that is older.
func (p *purge) hitsEntry(s *Store, e *entry) bool {
	if uint32(p.epoch) <= e.seen {
		return false
	}
	first := s.arena.bytes(e.first)
	if p.Tag != nil {
		return hasTag(e.tagsOf(first), p.tag)
	}
	return p.hitsKey(e.keyOf(first))
}

// spared reports whether no purge that is under way removes an entry. A soft one makes it
// stale. The shard is locked.
func (s *Store) spared(id uint32) bool {
	list := s.purges.active.Load()
	if list == nil {
		return true
	}
	return s.suffer(s.entries.at(id), *list, false)
}

// suffer holds an entry against purges, and counts it with those that hit it where a sweep
// asks. It reports whether it stays. The shard is locked.
func (s *Store) suffer(e *entry, list []*purge, sweep bool) bool {
	for _, p := range list {
		if !p.hitsEntry(s, e) {
			continue
		}
		if sweep {
			p.hit++
		}
		if !p.Soft {
			return false
		}
		e.meta.Expire(p.now)
	}
	return true
}
