package pool

// ClassStats is the state of one size class.
type ClassStats struct {
	Class     string // "1KiB" and so on; "larger" for what has no class
	Size      int    // bytes per buffer, 0 for "larger"
	Live      int    // buffers in use
	LiveBytes int
	IdleBytes int    // bytes kept for reuse
	Gets      uint64 // since the start
	Misses    uint64 // gets that had to allocate
}

// Stats returns the state of every class, the smallest first, "larger" last.
// While buffers move, the numbers are each right but need not fit one another.
func Stats() [numClasses + 1]ClassStats {
	var all [numClasses + 1]ClassStats
	names := [numClasses]string{"1KiB", "4KiB", "16KiB", "64KiB", "256KiB"}
	for i := range classes {
		st := &all[i]
		st.Class, st.Size = names[i], classBytes(i)
		var puts uint64
		for j := range classes[i].shard {
			s := &classes[i].shard[j]
			s.mu.Lock()
			st.Gets += s.gets
			puts += s.puts
			st.Misses += s.misses
			st.IdleBytes += int(s.idle.Load()) * st.Size
			s.mu.Unlock()
		}
		// A buffer can be counted as returned in one shard before its Get is seen in another.
		st.Live = max(0, int(int64(st.Gets-puts)))
		st.LiveBytes = st.Live * st.Size
	}
	o := &all[numClasses]
	o.Class = "larger"
	gets := oversize.gets.Load()
	o.Gets, o.Misses = uint64(gets), uint64(gets)
	o.Live = max(0, int(gets-oversize.puts.Load()))
	o.LiveBytes = max(0, int(oversize.live.Load()))
	return all
}

// Live returns how many buffers are in use, of all classes. Tests compare it
// before and after: a difference is a leak.
func Live() int {
	n := 0
	for _, s := range Stats() {
		n += s.Live
	}
	return n
}
