package backend

// maglevSizes are the sizes a lookup table can have: primes. A group gets the
// first that holds maglevShare places for each of its members.
var maglevSizes = [...]int{4093, 16381, 65521, 262139, 1048573}

const maglevShare = 50

// sourceHash sends equal hashes to the same member, by a Maglev lookup table
// (Eisenbud et al., NSDI 2016, section 3.4): each member has a permutation of the
// places of its own and takes the next free one in turn, as often as its weight
// says. When a member leaves, its hashes spread over the others and nearly all
// the rest stay where they were. The same members give the same table in every
// Weir and after every restart.
type sourceHash struct {
	slots  []slot
	lookup []uint32
}

func (b *sourceHash) pick(q *Query) *Member {
	h := mix(q.Hash)
	i := 0
	for range min(2*len(b.slots), maxTurns) {
		i = int(b.lookup[h%uint64(len(b.lookup))])
		if m := b.slots[i].m; q.take(m) {
			return m
		}
		// The second choice depends on the hash as well, so it is stable and the
		// load of a member that is full spreads over all others.
		h = mix(h)
	}
	return scan(b.slots, i, q)
}

// newSourceHash fills the lookup table. Its size depends on total, the number of
// members usable or not, as another size would move every hash.
func newSourceHash(slots []slot, total int) *sourceHash {
	size := maglevSizes[len(maglevSizes)-1]
	for _, s := range maglevSizes {
		if s >= total*maglevShare {
			size = s
			break
		}
	}
	b := &sourceHash{slots: slots, lookup: make([]uint32, size)}
	b.fill(uint64(size))
	return b
}

// permutation walks the places of one member: at, at+skip, at+2*skip ... modulo
// the size, which is prime, so every place is met.
type permutation struct {
	at, skip uint64
	credit   uint64 // weight that is owed a place
}

func (b *sourceHash) fill(size uint64) {
	const free = ^uint32(0)
	for i := range b.lookup {
		b.lookup[i] = free
	}
	var heaviest uint64
	perms := make([]permutation, len(b.slots))
	for i, s := range b.slots {
		h := hashString(s.m.key())
		perms[i] = permutation{at: h % size, skip: mix(h)%(size-1) + 1}
		heaviest = max(heaviest, uint64(s.weight))
	}
	for left := len(b.lookup); ; {
		for i := range perms {
			p := &perms[i]
			// A member with half the weight of the heaviest takes a place every other round.
			if p.credit += uint64(b.slots[i].weight); p.credit < heaviest {
				continue
			}
			p.credit -= heaviest
			for b.lookup[p.at] != free {
				p.at = (p.at + p.skip) % size
			}
			b.lookup[p.at] = uint32(i)
			if left--; left == 0 {
				return
			}
		}
	}
}

// mix spreads every bit of x over the whole word (the finaliser of SplitMix64).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// hashString is FNV-1a, mixed: the same in every process.
func hashString(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return mix(h)
}
