package static

import (
	"os"
	"path"
	"strings"
	"sync/atomic"
	"time"

	"weir/l7/message"
)

// File is a regular file, open or kept in memory, and what the client is told about it.
// One that is kept is shared: nothing of it may be written to.
type File struct {
	*os.File        // nil: it is kept, and Body has its octets; in memory where IsKept
	Body     []byte // nil: File has them
	Size     int64
	ModTime  time.Time
	Type     []byte // media type; only read
	Encoding string // Content-Encoding; "": the file itself
	Vary     bool   // another client may get another form of it

	// Of one that is kept.
	tag, modified []byte
	kept          *kept
	users         atomic.Int64 // of File, the keeper included
}

// IsKept reports whether the octets are in memory: to read or send them waits for nothing.
func (f *File) IsKept() bool { return f.Body != nil || f.kept != nil && f.File != nil }

// Close ends the use of the file.
func (f *File) Close() error {
	if f.File == nil || f.kept != nil && f.users.Add(-1) > 0 {
		return nil
	}
	return f.File.Close()
}

// AppendETag appends the strong entity tag: it changes with the time of the last
// change, to the nanosecond, with the size and with the coding.
func (f *File) AppendETag(dst []byte) []byte {
	if f.tag != nil {
		return append(dst, f.tag...)
	}
	return appendTag(dst, f.ModTime, f.Size, f.Encoding)
}

// AppendModified appends the time of the last change as HTTP has it.
func (f *File) AppendModified(dst []byte) []byte {
	if f.modified != nil {
		return append(dst, f.modified...)
	}
	return f.ModTime.UTC().AppendFormat(dst, message.TimeFormat)
}

// types are the media types by extension. The table is ours, so that answers do not
// depend on what is installed on a machine.
var types = bytesOf(map[string]string{
	"html": "text/html; charset=utf-8", "htm": "text/html; charset=utf-8",
	"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "mjs": "text/javascript; charset=utf-8",
	"txt": "text/plain; charset=utf-8", "md": "text/markdown; charset=utf-8", "csv": "text/csv; charset=utf-8",
	"json": "application/json", "map": "application/json", "jsonld": "application/ld+json",
	"webmanifest": "application/manifest+json", "xml": "application/xml", "atom": "application/atom+xml",
	"rss": "application/rss+xml", "xhtml": "application/xhtml+xml", "pdf": "application/pdf",
	"wasm": "application/wasm", "zip": "application/zip", "gz": "application/gzip", "tar": "application/x-tar",
	"zst": "application/zstd", "7z": "application/x-7z-compressed", "bz2": "application/x-bzip2",
	"yaml": "application/yaml", "yml": "application/yaml", "toml": "application/toml",
	"svg": "image/svg+xml", "png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "gif": "image/gif",
	"webp": "image/webp", "avif": "image/avif", "ico": "image/vnd.microsoft.icon", "bmp": "image/bmp",
	"woff": "font/woff", "woff2": "font/woff2", "ttf": "font/ttf", "otf": "font/otf",
	"mp3": "audio/mpeg", "ogg": "audio/ogg", "wav": "audio/wav", "flac": "audio/flac", "m4a": "audio/mp4",
	"mp4": "video/mp4", "webm": "video/webm", "ogv": "video/ogg", "mov": "video/quicktime",
	"m3u8": "application/vnd.apple.mpegurl", "ts": "video/mp2t", "ics": "text/calendar; charset=utf-8",
	"vtt": "text/vtt; charset=utf-8",
})

func bytesOf(m map[string]string) map[string][]byte {
	out := make(map[string][]byte, len(m))
	for k, v := range m {
		out[k] = []byte(v)
	}
	return out
}

var unknownType = []byte("application/octet-stream")

// typeOf returns the media type of a file by its name.
func typeOf(name string) []byte {
	if t, ok := types[strings.ToLower(strings.TrimPrefix(path.Ext(name), "."))]; ok {
		return t
	}
	return unknownType
}
