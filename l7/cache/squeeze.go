package cache

// The least that a Squeeze takes and the most: the step is an eighth of what the store
// holds, and what one call takes some 20 ms.
const (
	minSqueeze = 4 << 20
	maxSqueeze = 64 << 20
)

// Squeeze has the store give memory back to the operating system because the process is
// short of it: an eighth of what it holds, between 4 and 64 MiB, until there are 4 MiB
// left beside the index, whose memory stays. It holds no more than that until Relax.
// Whoever watches memory calls it again and again while memory is short.
func (s *Store) Squeeze() {
	s.sizing.Lock()
	defer s.sizing.Unlock()
	held := s.held()
	s.allowance = max(held-min(max(held/8, minSqueeze), maxSqueeze), minBudget)
	s.fit()
	s.counts.squeezes.Add(1)
}

// Relax lets a squeezed store grow again, by a sixteenth of its budget for each call.
func (s *Store) Relax() {
	if s.counts.squeezes.Load() == 0 {
		return
	}
	s.sizing.Lock()
	defer s.sizing.Unlock()
	if s.allowance < s.budget {
		s.allowance = min(s.allowance+s.budget/16, s.budget)
		s.limitSlabs()
	}
}

// held is what the store takes of its budget.
func (s *Store) held() int64 {
	slabs, _ := s.arena.usage()
	_, index := s.entries.usage()
	return slabs + index + fixedCost
}

// limitSlabs lets the slabs have what of the allowance the rest does not take.
func (s *Store) limitSlabs() {
	_, index := s.entries.usage()
	s.arena.setLimit(s.allowance - fixedCost - index)
}

// fit evicts what is beyond the allowance, and lets the operating system have all that is
// free.
func (s *Store) fit() {
	s.limitSlabs()
	for try := 0; s.arena.over() > 0 && s.makeRoom(try); try++ {
		continue
	}
	s.arena.chill()
}
