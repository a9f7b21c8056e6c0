package l7

// SqueezeCache tells the cache whether the process is short of memory: each call with true
// has it give some back, each with false lets it grow again. It takes some 20 ms at most,
// and is not to be called by several goroutines at once.
func (s *Server) SqueezeCache(short bool) {
	s.mu.Lock()
	st := s.store
	s.mu.Unlock()
	switch {
	case st == nil:
	case short:
		st.Squeeze()
	default:
		st.Relax()
	}
}

// CacheMemory returns how much memory the cache takes. It lies outside the Go heap.
func (s *Server) CacheMemory() int64 {
	s.mu.Lock()
	st := s.store
	s.mu.Unlock()
	if st == nil {
		return 0
	}
	return st.Stats().Bytes
}
