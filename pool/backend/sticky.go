package backend

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"sync"
)

// signer is the key that signs the cookies of a group; zero: it has none.
type signer [sha256.Size]byte

// pinSize is how much of a signature a cookie carries, in bytes. There is one for each
// server, and nobody can tell before whether a guess is right: 128 bits are plenty.
const pinSize = 16

// ownKey makes a key at its first call, for a registry that is given none.
func ownKey() func() ([]byte, error) {
	return sync.OnceValues(func() ([]byte, error) {
		key := make([]byte, sha256.Size)
		_, _ = rand.Read(key) // never fails
		return key, nil
	})
}

// loadKeys finds the key of each pool that keeps clients by a cookie.
func (s *Snapshot) loadKeys() error {
	for i := range s.pools {
		p := &s.pools[i]
		var key signer
		if p.Sticky.Cookie != "" {
			raw := []byte(p.Sticky.Key.Reveal())
			if len(raw) == 0 {
				var err error
				if raw, err = s.r.signKey(); err != nil {
					return fmt.Errorf("cannot use pool %q: %w", p.Name, err)
				}
			}
			key = sha256.Sum256(raw)
		}
		s.keys = append(s.keys, key)
	}
	return nil
}

// value is what the cookie of a member has: a signature over pool and server, which
// names it and proves that Weir gave it out.
func (k *signer) value(m *Member) string {
	mac := hmac.New(sha256.New, k[:])
	_, _ = fmt.Fprintf(mac, "weir server %q %q", m.group.name, m.key()) // never fails
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:pinSize])
}

// pin gives t the values of the members that take work. Registry.mu is held.
func (g *Group) pin(t *table) {
	if g.signer == (signer{}) {
		for _, m := range g.members {
			m.pin.Store(nil)
			m.pinnedBy = signer{}
		}
		return
	}
	t.pins = make(map[string]*Member, len(g.members))
	for _, m := range g.members {
		if m.pinnedBy != g.signer {
			value := g.signer.value(m)
			m.pin.Store(&value)
			m.pinnedBy = g.signer
		}
		if t.inUse(m) {
			t.pins[*m.pin.Load()] = m
		}
	}
}

// Pinned finds the member that a cookie's value names, nil where none does that takes
// work at present. The value may come from anybody. It allocates nothing.
func (g *Group) Pinned(value []byte) *Member { return g.table.Load().pins[string(value)] }

// Pin is the value of the cookie that keeps a client on the member, "" where the
// group keeps none.
func (m *Member) Pin() string {
	if p := m.pin.Load(); p != nil {
		return *p
	}
	return ""
}
