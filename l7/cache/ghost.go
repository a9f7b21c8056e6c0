package cache

// ghostsPerSet is in how many places a hash may stand.
const ghostsPerSet = 8

// ghosts remember the hashes of those that left after probation, about as many as there
// are objects. Of a hash 32 bits are kept, and when it came, counted in hashes; the oldest
// of a set gives way. The zero value remembers from the first add on. Not safe for use
// from several goroutines at once.
type ghosts struct {
	slots []ghost // a power of two of them
	clock uint32
	keep  uint32 // how many came after a hash before it is forgotten
}

type ghost struct {
	hash uint32 // 0: none
	at   uint32
}

func (g *ghosts) set(hash uint32) []ghost {
	// The low bits chose the bucket and shard for the index; any will do here.
	first := int(hash*0x9E3779B1>>7) % (len(g.slots) / ghostsPerSet) * ghostsPerSet
	return g.slots[first : first+ghostsPerSet]
}

func fingerprint(hash uint64) uint32 { return uint32(hash>>16) | 1 }

// add remembers a hash; objects is how many there are now.
func (g *ghosts) add(hash uint64, objects int) {
	g.keep = uint32(max(objects, 64))
	if len(g.slots) < int(g.keep) {
		g.grow()
	}
	g.clock++
	g.place(ghost{fingerprint(hash), g.clock})
}

func (g *ghosts) place(n ghost) {
	set := g.set(n.hash)
	oldest := &set[0]
	for i := range set {
		if set[i].hash == 0 || set[i].hash == n.hash {
			set[i] = n
			return
		}
		if g.clock-set[i].at > g.clock-oldest.at {
			oldest = &set[i]
		}
	}
	*oldest = n
}

func (g *ghosts) grow() {
	old := g.slots
	g.slots = make([]ghost, max(128, 2*len(old)))
	for _, o := range old {
		if o.hash != 0 && g.clock-o.at < g.keep {
			g.place(o)
		}
	}
}

// take reports whether a hash is remembered, and forgets it.
func (g *ghosts) take(hash uint64) bool {
	if g.slots == nil {
		return false
	}
	f := fingerprint(hash)
	set := g.set(f)
	for i := range set {
		if set[i].hash == f {
			known := g.clock-set[i].at <= g.keep
			set[i] = ghost{}
			return known
		}
	}
	return false
}
