package metric

// Cache: requests of routes with a cache, and the store that they share.
var (
	CacheRequests = &Def{
		Name: "weir_cache_requests_total", Kind: KindCounter, Labels: []string{"listener", "route", "result", "reason"},
		Help: "Requests of routes with a cache, by result (hit, stale, revalidated, miss, bypass, error, purge) " +
			"and reason.",
		MaxSets: 10_000,
	}
	CacheStored = &Def{
		Name: "weir_cache_responses_total", Kind: KindCounter, Labels: []string{"listener", "route", "result"},
		Help: "Responses of backends on routes with a cache: stored, or why not.", MaxSets: 10_000,
	}
	CacheRevalidations = &Def{
		Name: "weir_cache_revalidations_total", Kind: KindCounter,
		Labels: []string{"listener", "route", "where", "result"},
		Help: "Stale responses that a backend was asked about, before or behind the answer, by result: " +
			"not_modified, replaced or failed.",
		MaxSets: 10_000,
	}
	CacheFetches = &Def{
		Name: "weir_cache_fetches", Kind: KindGauge,
		Help: "Responses that are being received into the store.",
	}
	CacheWaiting = &Def{
		Name: "weir_cache_waiting_requests", Kind: KindGauge,
		Help: "Requests that wait for a response that another request is fetching.",
	}
	CacheObjects = &Def{
		Name: "weir_cache_objects", Kind: KindGauge,
		Help: "Responses in memory, each variant by itself.",
	}
	CacheMemory = &Def{
		Name: "weir_cache_memory_bytes", Kind: KindGauge,
		Help: "Memory that stored responses take, with everything that is kept about them.",
	}
	CacheBudget = &Def{
		Name: "weir_cache_memory_limit_bytes", Kind: KindGauge,
		Help: "Memory that stored responses may take.",
	}
	CacheEvictions = &Def{
		Name: "weir_cache_evictions_total", Kind: KindCounter,
		Help: "Responses dropped from memory to make room.",
	}
	CachePurged = &Def{
		Name: "weir_cache_purges_total", Kind: KindCounter, Labels: []string{"by"},
		Help: "Purges, by what they named: url, prefix, host, tag or all.",
	}
	CacheInvalidated = &Def{
		Name: "weir_cache_invalidations_total", Kind: KindCounter, Labels: []string{"listener", "route"},
		Help: "Requests with unsafe methods whose answer made stored responses invalid.",
	}
)

// Cache: the directory of [cache.disk].
var (
	CacheDiskObjects = &Def{
		Name: "weir_cache_disk_objects", Kind: KindGauge,
		Help: "Responses on disk, each variant by itself, and one for each URL that has variants.",
	}
	CacheDiskBytes = &Def{
		Name: "weir_cache_disk_bytes", Kind: KindGauge,
		Help: "Bytes that stored responses take on disk, those that are being written included.",
	}
	CacheDiskLimit = &Def{
		Name: "weir_cache_disk_limit_bytes", Kind: KindGauge,
		Help: "Bytes that stored responses may take on disk: the size in the file, less what the file system " +
			"turned out not to have.",
	}
	CacheDiskReady = &Def{
		Name: "weir_cache_disk_ready", Kind: KindGauge,
		Help: "1 when all that is in the directory is known; 0 after a start, and while another process has it.",
	}
	CacheDiskReads = &Def{
		Name: "weir_cache_disk_reads_total", Kind: KindCounter, Labels: []string{"result"},
		Help: "Reads of stored responses from disk, by result: hit or miss.",
	}
	CacheDiskWrites = &Def{
		Name: "weir_cache_disk_writes_total", Kind: KindCounter, Labels: []string{"result"},
		Help: "Responses for the disk, by result: stored, refused (an error, a purge, no room) or skipped (the " +
			"disk was behind).",
	}
	CacheDiskEvictions = &Def{
		Name: "weir_cache_disk_evictions_total", Kind: KindCounter,
		Help: "Responses dropped from disk to make room.",
	}
	CacheDiskErrors = &Def{
		Name: "weir_cache_disk_errors_total", Kind: KindCounter, Labels: []string{"cause"},
		Help: "Errors of the disk, by cause: no_space, io, permission, descriptors, corrupt (what was read is not " +
			"what was written), missing or other.",
	}
)

var cacheDefs = []*Def{
	CacheRequests, CacheStored, CacheRevalidations, CacheFetches, CacheWaiting, CacheObjects, CacheMemory, CacheBudget,
	CacheEvictions, CachePurged, CacheInvalidated,
	CacheDiskObjects, CacheDiskBytes, CacheDiskLimit, CacheDiskReady, CacheDiskReads, CacheDiskWrites,
	CacheDiskEvictions, CacheDiskErrors,
}
