package metric

// Compression of responses.
var (
	L7CompressedResponses = &Def{
		Name: "weir_l7_compressed_responses_total", Kind: KindCounter, Labels: []string{"listener", "coding"},
		Help: "Responses that Weir encoded, by listener and coding: gzip, br, zstd, dcb or dcz.",
	}
	L7CompressInBytes = &Def{
		Name: "weir_l7_compress_in_bytes_total", Kind: KindCounter, Labels: []string{"listener", "coding"},
		Help: "Bytes of bodies before Weir encoded them.",
	}
	L7CompressOutBytes = &Def{
		Name: "weir_l7_compress_out_bytes_total", Kind: KindCounter, Labels: []string{"listener", "coding"},
		Help: "Bytes of bodies after Weir encoded them.",
	}
	L7CompressSkipped = &Def{
		Name: "weir_l7_compress_skipped_total", Kind: KindCounter, Labels: []string{"listener", "reason"},
		Help: "Responses of routes with compress that were sent as they are, by reason, such as type or small.",
	}
	L7CompressMemory = &Def{
		Name: "weir_l7_compress_memory_bytes", Kind: KindGauge,
		Help: "Memory of the encoders that are at work.",
	}
	L7CompressDictionaries = &Def{
		Name: "weir_l7_compress_dictionary_bytes", Kind: KindGauge,
		Help: "Memory of the dictionaries that responses are encoded against.",
	}
	L7CompressSteps = &Def{
		Name: "weir_l7_compress_level_steps", Kind: KindGauge,
		Help: "By how much the levels of compression are lowered for want of CPU.",
	}
)

var compressDefs = []*Def{
	L7CompressedResponses, L7CompressInBytes, L7CompressOutBytes, L7CompressSkipped, L7CompressMemory,
	L7CompressDictionaries, L7CompressSteps,
}
