package cache

import (
	"encoding/binary"
	"sync"
	"sync/atomic"

	"weir/l7/cache/disk"
	"weir/l7/cache/policy"
)

// onDisk is the disk tier beside the memory of a store. What is committed in memory is
// written to it behind the caller, by a few goroutines from a bounded queue; what does
// not fit into the queue is not written. What memory has not, Load gets from it.
//
// Under a key there is a root: the object itself where it has no Vary, else the names of
// its Vary and a number, which is part of the keys of variants. A root that is lost or
// replaced by one with other names makes the variants of the old one unreachable, so
// that a key of which there is no root has nothing on disk.
type onDisk struct {
	store *Store
	tier  *disk.Tier
	bug   func(where string, p any)
	jobs  [spillers]chan *spill // by key, so that what comes later stays later
	wg    sync.WaitGroup

	// pending is how many spills are decided on and not done: none of what they are for
	// is known to the tier yet.
	pending atomic.Int64
	held    atomic.Int64 // octets of memory that they keep from being given back
	skipped atomic.Uint64

	mu     sync.Mutex
	closed bool
	loads  map[string]chan struct{} // keys that are being read; closed when they were
	stale  map[string]struct{}      // keys under which the disk has something outdated
}

const (
	spillers   = 2
	mostSpills = 128 // for each of them
	spillPart  = 8   // of the budget of memory that the queue may hold on to
)

// The first octet of the meta of an object on disk says what it is.
const (
	diskWhole = 'o' // an object: then its policy.Meta
	diskVary  = 'v' // a root of variants: then its number, then the names of Vary
)

// The first octet of a label says what it is.
const (
	labelKey = 'k'
	labelTag = 't'
	labelURL = 'u' // host, a space, path
)

// SetDisk gives the store a disk tier, which it owns from then on, in place of the one
// that it had, which is closed. nil is none. It waits for what is being written. bug is
// told of a panic of a goroutine that writes, which costs one object.
func (s *Store) SetDisk(t *disk.Tier, bug func(where string, p any)) error {
	var d *onDisk
	if t != nil {
		d = &onDisk{store: s, tier: t, bug: bug, loads: make(map[string]chan struct{})}
		for i := range d.jobs {
			d.jobs[i] = make(chan *spill, mostSpills)
			d.wg.Go(func() { d.run(d.jobs[i]) })
		}
	}
	if old := s.disk.Swap(d); old != nil {
		return old.close()
	}
	return nil
}

// Disk is the disk tier, nil where there is none, for its figures.
func (s *Store) Disk() *disk.Tier {
	if d := s.disk.Load(); d != nil {
		return d.tier
	}
	return nil
}

// close ends the goroutines and closes the tier.
func (d *onDisk) close() error {
	d.mu.Lock()
	d.closed = true
	for _, jobs := range d.jobs {
		close(jobs)
	}
	d.mu.Unlock()
	d.wg.Wait()
	d.dropStale()
	return d.tier.Close()
}

// rootKey is the key of a root on disk.
func rootKey(key []byte) []byte {
	return append([]byte{'p'}, key...)
}

// variantKey is that of a variant below a root with this number.
func variantKey(root uint64, variant, key []byte) []byte {
	b := binary.LittleEndian.AppendUint64([]byte{'v'}, root)
	b = binary.AppendUvarint(b, uint64(len(variant)))
	return append(append(b, variant...), key...)
}

// labelsOf are the labels by which purges find an object on disk.
func labelsOf(key []byte, tags [][]byte) [][]byte {
	labels := make([][]byte, 0, 2+len(tags))
	labels = append(labels, label(labelKey, key))
	if _, host, path, ok := policy.KeyURL(key); ok {
		labels = append(labels, urlLabel(host, path))
	}
	for _, tag := range tags {
		labels = append(labels, label(labelTag, tag))
	}
	return labels
}

func label(kind byte, b []byte) []byte { return append([]byte{kind}, b...) }

// urlLabel is the label of a URL, and of the URLs that have a beginning in common: no
// host has a space.
func urlLabel(host, path []byte) []byte {
	return append(append(label(labelURL, host), ' '), path...)
}

// purgeDisk bans on disk what sel says, if it may be there, and reports whether something
// is known to be there, which it is of keys alone. It is called before memory is
// purged, so that Load brings back nothing, and after it, so that no spill does that was
// decided on before.
func (s *Store) purgeDisk(sel *Selector) (there bool) {
	d := s.disk.Load()
	if d == nil {
		return false
	}
	ban := disk.Ban{All: sel.All, Soft: sel.Soft}
	switch {
	case sel.All:
	case sel.Key != nil:
		there = d.tier.Has(rootKey(sel.Key))
		if d.pending.Load() == 0 && d.tier.Ready() && !there {
			return false // of the many that unsafe requests make invalid, few are stored
		}
		ban.Label = label(labelKey, sel.Key)
	case sel.Tag != nil:
		ban.Label = label(labelTag, sel.Tag)
	case sel.Host != nil:
		ban.Prefix, ban.Label = true, urlLabel(sel.Host, sel.Path)
	}
	// The tier has counted and logged what went wrong; the ban is in force in any case.
	_ = d.tier.Purge(ban)
	return there
}
