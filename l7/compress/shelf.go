package compress

import (
	"container/list"
	"crypto/sha256"
	"sync"
)

// Shelf keeps dictionaries by the origin that they are from, within a budget of memory:
// what was used least recently makes room. Its methods may be called from any goroutine.
type Shelf struct {
	encoders *Encoders

	mu     sync.Mutex
	budget int64
	used   int64
	byKey  map[shelfKey]*list.Element // of *shelved
	recent list.List                  // the last used first
}

// shelfKey tells dictionaries apart. origin is scheme and host: what is of one must never
// be used for another (RFC 9842 section 9).
type shelfKey struct {
	origin string
	hash   Hash
}

type shelved struct {
	key        shelfKey
	dictionary *Dictionary
	cost       int64
}

// MaxDictionary is the longest body that becomes a dictionary.
const MaxDictionary = 2 << 20

// NewShelf makes a shelf without a budget, for dictionaries that encoders use.
func NewShelf(encoders *Encoders) *Shelf {
	return &Shelf{encoders: encoders, byKey: make(map[shelfKey]*list.Element)}
}

// SetBudget changes the budget in bytes; what does not fit goes.
func (s *Shelf) SetBudget(bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.budget = bytes
	s.shrink()
}

// Find returns a dictionary, nil where it is not kept.
func (s *Shelf) Find(origin string, hash Hash) *Dictionary {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.byKey[shelfKey{origin, hash}]
	if e == nil {
		return nil
	}
	s.recent.MoveToFront(e)
	return e.Value.(*shelved).dictionary
}

// Add makes a dictionary of a body, which is copied, unless it is there already, empty or
// too long.
func (s *Shelf) Add(origin string, body []byte) {
	if len(body) == 0 || len(body) > MaxDictionary {
		return
	}
	hash := Hash(sha256.Sum256(body))
	if s.Find(origin, hash) != nil {
		return
	}
	d := newDictionary(append([]byte(nil), body...), hash, s.encoders)
	item := &shelved{shelfKey{origin, hash}, d, dictionaryCost(len(body))}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byKey[item.key] != nil || item.cost > s.budget {
		return
	}
	s.byKey[item.key] = s.recent.PushFront(item)
	s.used += item.cost
	s.shrink()
}

// dictionaryCost is what a dictionary of so many octets holds: itself, the table that
// brotli makes of it once, and what is always there.
func dictionaryCost(n int) int64 { return 6*int64(n) + 256<<10 }

// shrink lets go of what exceeds the budget. mu is held.
func (s *Shelf) shrink() {
	for s.used > s.budget {
		e := s.recent.Back()
		item := s.recent.Remove(e).(*shelved)
		delete(s.byKey, item.key)
		s.used -= item.cost
	}
}

// Used returns the bytes that dictionaries hold.
func (s *Shelf) Used() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used
}
