package conf

// Compression is [compress]: what encoding responses may take of the process.
type Compression struct {
	Memory Size // of all encoders at work
	CPU    int  // percent, from which on levels fall; 0: never

	Dictionaries Size // memory of all dictionaries
}

// Compress is [l7.route.compress].
type Compress struct {
	Algorithms     []string // zstd, br, gzip, the preferred first
	Types          []string // media types: "a/b", "a/*", "+json"
	MinSize        Size
	GzipLevel      int
	BrLevel        int
	ZstdLevel      int
	AcceptEncoding string // that servers get: as_received, identity
	SetCookie      bool   // also responses that set a cookie
	Dictionary     string // pattern of paths whose responses are dictionaries for each other; "": none are
	CrossSite      bool   // also to requests with a cookie that another site caused
}
