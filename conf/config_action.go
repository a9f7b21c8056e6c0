package conf

import "time"

// RouteAction is what an [[l7.route]] does with a request, beside its pool. A
// route has exactly one of a pool, Redirect, Respond and Files.
type RouteAction struct {
	RewritePath     Template // zero: the path as received
	RequestHeaders  FieldChanges
	ResponseHeaders FieldChanges
	Redirect        *Redirect // nil where the file has none, as the next four
	Respond         *Respond
	Files           *Files
	Mirror          *Mirror
	Fault           *Fault
	BodyGrace       time.Duration // 0: the listener's
	BodyMinRate     Size          // 0: the listener's
}

// FieldChanges is [l7.route.request_headers] and [l7.route.response_headers].
// Remove comes first, then Set, then Add.
type FieldChanges struct {
	Set    []FieldValue // in place of all fields of that name
	Add    []FieldValue
	Remove []string
}

// FieldValue is a field that is set or added.
type FieldValue struct {
	Name  string
	Value Template
}

// Redirect is [l7.route.redirect].
type Redirect struct {
	Status int
	Scheme string   // "": the client's
	Host   string   // with a port where it is not the default; "": as asked for
	Path   Template // zero: as asked for
}

// Respond is [l7.route.respond].
type Respond struct {
	Status      int
	Body        string
	ContentType string // "" where there is no body
}

// Files is [l7.route.files].
type Files struct {
	Root          string // directory, absolute
	Index         []string
	Precompressed []string // br, zstd, gzip, the preferred first
	Dotfiles      bool
	Fallback      string // file for paths that lead to none; "": 404
	Memory        Size   // for small files that are kept; 0: none are
}

// Mirror is [l7.route.mirror].
type Mirror struct {
	Pool       string
	Percent    int
	MaxBody    Size // longer requests are not mirrored
	MaxPending int
	Timeout    time.Duration
}

// Fault is [l7.route.fault]. A percentage of 0 means never.
type Fault struct {
	Delay        time.Duration
	DelayPercent int
	Abort        int // status
	AbortPercent int
}
