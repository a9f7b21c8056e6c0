package metric

// The process as a whole: buffers, access log, configuration, certificates, stages.
var (
	StageSeconds = &Def{
		Name: "weir_stage_seconds", Kind: KindHistogram, Labels: []string{"layer", "stage"},
		Help: "Time one stage took, sampled. Layers are l4 and l7; " +
			"stages are accept, sniff, tls, route, connect, first_byte and deliver.",
	}

	BufferLiveBytes = &Def{
		Name: "weir_pool_buffer_live_bytes", Kind: KindGauge, Labels: []string{"class"},
		Help: "Bytes of buffers in use, by size class.",
	}
	BufferIdleBytes = &Def{
		Name: "weir_pool_buffer_idle_bytes", Kind: KindGauge, Labels: []string{"class"},
		Help: "Bytes of free buffers kept for reuse, by size class.",
	}
	BufferGets = &Def{
		Name: "weir_pool_buffer_gets_total", Kind: KindCounter, Labels: []string{"class"},
		Help: "Buffers asked for, by size class.",
	}
	BufferMisses = &Def{
		Name: "weir_pool_buffer_misses_total", Kind: KindCounter, Labels: []string{"class"},
		Help: "Buffers that had to be allocated because none was free, by size class.",
	}

	AccessLogLines = &Def{
		Name: "weir_accesslog_lines_total", Kind: KindCounter,
		Help: "Access log lines written.",
	}
	AccessLogDropped = &Def{
		Name: "weir_accesslog_dropped_lines_total", Kind: KindCounter,
		Help: "Access log lines dropped because the target was full, failing or too slow.",
	}
	AccessLogErrors = &Def{
		Name: "weir_accesslog_write_errors_total", Kind: KindCounter,
		Help: "Writes to the access log that failed.",
	}
	AccessLogPending = &Def{
		Name: "weir_accesslog_pending_bytes", Kind: KindGauge,
		Help: "Bytes of access log lines waiting to be written.",
	}

	LogDropped = &Def{
		Name: "weir_log_dropped_lines_total", Kind: KindCounter,
		Help: "Lines of the process log dropped because standard error took nothing.",
	}

	ConfigReloads = &Def{
		Name: "weir_config_reloads_total", Kind: KindCounter, Labels: []string{"result"},
		Help: "Reloads of the configuration by result: ok or refused.",
	}
	ConfigVersion = &Def{
		Name: "weir_config_version", Kind: KindGauge,
		Help: "Number of the running configuration; 1 at start, one more at each reload that took effect.",
	}
	ConfigLastReload = &Def{
		Name: "weir_config_last_reload_timestamp_seconds", Kind: KindGauge,
		Help: "When the running configuration took effect, in seconds since 1970.",
	}
	ConfigValid = &Def{
		Name: "weir_config_last_reload_successful", Kind: KindGauge,
		Help: "1 when the last reload took effect, 0 when it was refused and the configuration before it stays.",
	}
	Ready = &Def{
		Name: "weir_ready", Kind: KindGauge,
		Help: "1 while new traffic is welcome, 0 while Weir starts or drains.",
	}

	MemoryLimit = &Def{
		Name: "weir_memory_limit_bytes", Kind: KindGauge,
		Help: "What the process may use: process.memory_limit, the limit of its cgroup or GOMEMLIMIT. " +
			"Absent where there is no limit.",
	}
	MemoryUsed = &Def{
		Name: "weir_memory_used_bytes", Kind: KindGauge,
		Help: "What counts against weir_memory_limit_bytes, as measured last: the cgroup without pages of files, or " +
			"the process.",
	}
	MemoryPressure = &Def{
		Name: "weir_memory_pressure", Kind: KindGauge,
		Help: "What is done for want of memory: 0 nothing, 1 idle connections are closed and new L4 sessions reset, " +
			"2 HTTP requests get 503 as well, 3 every new connection is reset.",
	}

	CertNotAfter = &Def{
		Name: "weir_cert_not_after_seconds", Kind: KindGauge, Labels: []string{"listener", "cert"},
		Help: "When a certificate ends to be valid, in seconds since 1970, by listener and file.",
	}

	BuildInfo = &Def{
		Name: "weir_build_info", Kind: KindGauge, Labels: []string{"version", "go"},
		Help: "Always 1; its labels name the version of Weir and of Go.",
	}
	Panics = &Def{
		Name: "weir_panics_total", Kind: KindCounter, Labels: []string{"where"},
		Help: "Panics recovered, by the part that was running: loop, l4, l7, backend, accesslog, admin, engine.",
	}
	MetricOverflow = &Def{
		Name: "weir_metric_overflow_total", Kind: KindCounter, Labels: []string{"metric"},
		Help: "Label sets that were folded into \"other\" because the metric had its maximum.",
	}
)

var processDefs = []*Def{
	StageSeconds,
	BufferLiveBytes, BufferIdleBytes, BufferGets, BufferMisses,
	AccessLogLines, AccessLogDropped, AccessLogErrors, AccessLogPending, LogDropped,
	ConfigReloads, ConfigVersion, ConfigLastReload, ConfigValid, Ready,
	MemoryLimit, MemoryUsed, MemoryPressure,
	CertNotAfter,
	BuildInfo, Panics, MetricOverflow,
}
