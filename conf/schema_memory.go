package conf

// memoryKey says how much memory there is.
func memoryKey() key[Process] {
	return key[Process]{
		name: "memory_limit", none: "that of the cgroup; without one `GOMEMLIMIT`; else no limit",
		value: one(func(p *Process) *Size { return &p.MemoryLimit }, size(32<<20, 1<<50)),
		doc: "How much memory Weir may use; a lower limit of the cgroup counts instead. From 92 % of it on " +
			"the cache gives memory back, until it is at 88 %. At 95 % idle HTTP connections are closed " +
			"and new L4 sessions reset, at 98 % HTTP requests get 503 with Retry-After, at 99 % every new " +
			"connection is reset, until it has gone down to 90, 95 and 97 %. Go's own limit becomes nine tenths " +
			"of it, less what the cache holds, unless `GOMEMLIMIT` is set. Read at the start.",
	}
}
