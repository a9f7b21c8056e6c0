package load

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"
)

// Kind names what a connection speaks and what counts as one request on it.
type Kind string

// The kinds of workload.
const (
	HTTP1     Kind = "http1"     // one HTTP/1.1 request with its whole response; never pipelined
	HTTP2     Kind = "h2"        // one HTTP/2 stream
	TCP       Kind = "tcp"       // a message and the same bytes back
	UDP       Kind = "udp"       // the same in a datagram; a connection is a socket of its own
	Download  Kind = "download"  // bytes from the server until it ends, or as long as the run lasts
	Upload    Kind = "upload"    // bytes to the server, which reads them, as long as the run lasts
	Handshake Kind = "tls"       // connect, one whole TLS handshake, close
	Postgres  Kind = "postgres"  // SELECT 1; the startup too where Reconnect is set
	WebSocket Kind = "websocket" // a binary message and the same bytes back
)

// Pace slows one direction of a connection down to Bytes per Every. The zero
// value does not.
type Pace struct {
	Bytes int           `json:"bytes"`
	Every time.Duration `json:"every_ns"`
}

func (p Pace) set() bool { return p.Bytes > 0 && p.Every > 0 }

// Workload says what each connection does. The zero value of a field is its
// default where one is named.
type Workload struct {
	Kind    Kind   `json:"kind"`
	Address string `json:"address"` // HOST:PORT or unix:PATH

	// TLS encrypts the connection, for kinds other than Handshake. Certificates
	// are not verified, neither here nor there: the generator tests speed.
	TLS         bool     `json:"tls,omitempty"`
	ServerNames []string `json:"server_names,omitempty"` // SNI, taken in turn; default: the host of Address

	// Reconnect makes a new connection for each request; its latency then
	// includes connecting.
	Reconnect bool `json:"reconnect,omitempty"`
	Streams   int  `json:"streams,omitempty"` // HTTP2: requests at a time on a connection, default 1

	Method string   `json:"method,omitempty"` // default GET, POST where Send is set
	Host   string   `json:"host,omitempty"`   // default: Address
	Path   string   `json:"path,omitempty"`   // default "/"
	Fields []string `json:"fields,omitempty"` // additional "Name: value"

	Send    int64 `json:"send_bytes,omitempty"` // request body or message; default 0, 64 for TCP, UDP and WebSocket
	Status  int   `json:"status,omitempty"`     // the only right status, default 200
	Receive int64 `json:"receive_bytes"`        // the only right length of a response body; 0: any, -1: none

	// Verify compares the checksum of each HTTP response body with the first
	// one's. Echoed bytes are always compared.
	Verify bool `json:"verify,omitempty"`

	// Copy has bytes that nobody looks at copied out of the kernel, as other clients
	// do. Without it the kernel drops long bodies and downloads (MSG_TRUNC), so that
	// the generator is less in the way; the server does the same work either way.
	// HTTP1 without TLS and Download; other kinds always copy.
	Copy bool `json:"copy,omitempty"`

	ReadPace  Pace `json:"read_pace"`  // HTTP1 without TLS: a slow reader
	WritePace Pace `json:"write_pace"` // HTTP1 without TLS: a slow sender

	User     string `json:"user,omitempty"` // Postgres
	Password string `json:"-"`
	Database string `json:"database,omitempty"` // default: User
}

// Plan is a run: a workload, how much of it, and how it is measured.
type Plan struct {
	Workload
	Conns    int           `json:"conns"`       // connections, default 1
	Loops    int           `json:"loops"`       // event loops, default half of the CPUs
	Duration time.Duration `json:"duration_ns"` // of the measurement, without the warm-up; default 10 s
	Warmup   time.Duration `json:"warmup_ns"`   // before the measurement, not counted
	Requests int64         `json:"requests"`    // ends the measurement earlier; 0: only Duration does
	Timeout  time.Duration `json:"timeout_ns"`  // of one request, default 10 s

	// Rate is the number of requests per second that are due, whether or not
	// earlier ones were answered (open loop). Latency is then measured from the
	// time a request was due. Zero: each connection sends its next request when
	// the last one is answered (closed loop).
	Rate    float64 `json:"rate_per_second"`
	Poisson bool    `json:"poisson"` // the gaps between requests are exponential, not equal
	Seed    uint64  `json:"seed"`    // of the random gaps

	// LatenessLimit is how late the generator may send, at the 99th percentile,
	// while a connection was free. A run beyond it is not valid. Default 1 ms.
	LatenessLimit time.Duration `json:"lateness_limit_ns"`

	// Targets are the processes whose CPU time is measured beside ours. Empty:
	// those that listen on Address, where they run on this machine.
	Targets []int `json:"targets,omitempty"`
}

// The bounds of a plan.
const (
	maxConns    = 100_000
	maxLoops    = 256
	maxStreams  = 1000
	maxRate     = 1e7
	maxDuration = 24 * time.Hour
	maxSend     = 1 << 40
	maxMessage  = 64 << 20 // bytes of a WebSocket message
	maxDatagram = 65_507   // bytes in a datagram of IPv4
)

// withDefaults returns p with its defaults filled in.
func (p Plan) withDefaults() Plan {
	or(&p.Conns, 1)
	or(&p.Loops, max(1, runtime.NumCPU()/2))
	p.Loops = min(p.Loops, p.Conns)
	or(&p.Duration, 10*time.Second)
	or(&p.Timeout, 10*time.Second)
	or(&p.LatenessLimit, time.Millisecond)
	or(&p.Streams, 1)
	or(&p.Status, 200)
	or(&p.Path, "/")
	or(&p.Host, p.Address)
	or(&p.Database, p.User)
	if p.Kind == TCP || p.Kind == UDP || p.Kind == WebSocket {
		or(&p.Send, 64)
	}
	if p.Kind == Handshake || p.bulk() {
		p.Reconnect = true // a request is a connection
	}
	if p.Send > 0 {
		or(&p.Method, "POST")
	}
	or(&p.Method, "GET")
	return p
}

func or[T comparable](v *T, def T) {
	if zero := *new(T); *v == zero {
		*v = def
	}
}

// Validate says all that is wrong with p.
func (p Plan) Validate() error {
	p = p.withDefaults()
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	switch p.Kind {
	case HTTP1, HTTP2, TCP, UDP, Download, Upload, Handshake, Postgres, WebSocket:
	default:
		check(false, "unknown kind of workload %q", p.Kind)
	}
	check(p.Address != "", "no address: expected HOST:PORT or unix:PATH")
	check(p.Conns > 0 && p.Conns <= maxConns, "%d connections: expected 1 to %d", p.Conns, maxConns)
	check(p.Loops > 0 && p.Loops <= maxLoops, "%d loops: expected 1 to %d", p.Loops, maxLoops)
	check(p.Streams > 0 && p.Streams <= maxStreams, "%d streams: expected 1 to %d", p.Streams, maxStreams)
	check(p.Streams == 1 || p.Kind == HTTP2, "streams are for h2 alone")
	check(p.Duration > 0 && p.Duration <= maxDuration, "duration %s: expected up to %s", p.Duration, maxDuration)
	check(p.Warmup >= 0 && p.Warmup <= maxDuration, "warm-up %s: expected 0 to %s", p.Warmup, maxDuration)
	check(p.Requests >= 0, "%d requests: expected 0 or more", p.Requests)
	check(p.Timeout > 0 && p.Timeout <= maxLatency, "timeout %s: expected up to %s", p.Timeout, maxLatency)
	check(p.Rate >= 0 && p.Rate <= maxRate, "rate %g: expected 0 to %g per second", p.Rate, float64(maxRate))
	check(!p.Poisson || p.Rate > 0, "Poisson gaps need a rate")
	check(p.Rate == 0 || !p.bulk(), "%s has no requests that could be due at a rate", p.Kind)
	check(p.Send >= 0 && p.Send <= maxSend, "%d bytes to send: expected 0 to %d", p.Send, int64(maxSend))
	check(p.Kind != WebSocket || p.Send <= maxMessage, "message of %d bytes: expected up to %d", p.Send, maxMessage)
	check(p.Kind != UDP || p.Send <= maxDatagram, "datagram of %d bytes: expected up to %d", p.Send, maxDatagram)
	check(p.Kind != UDP || !strings.HasPrefix(p.Address, "unix:"), "udp has no unix sockets")
	check(p.Status >= 100 && p.Status <= 599, "status %d: expected 100 to 599", p.Status)
	check(p.Receive >= -1, "%d bytes to receive: expected -1 or more", p.Receive)
	check(!p.paced() || p.Kind == HTTP1 && !p.TLS, "a slow reader or sender is for http1 without TLS alone")
	check(!p.Reconnect || p.Kind != HTTP2, "h2 cannot reconnect for each request")
	check(!p.TLS || p.Kind != TCP && p.Kind != UDP && !p.bulk(), "%s cannot be encrypted", p.Kind)
	check(p.Kind != Postgres || p.User != "", "postgres needs a user")
	errs = append(errs, p.checkText()...)
	return errors.Join(errs...)
}

// checkText refuses what would break out of its place in a request head.
func (p Plan) checkText() (errs []error) {
	f := func(name, value, bad string) {
		if strings.ContainsAny(value, bad) {
			errs = append(errs, fmt.Errorf("%s %q: control characters or spaces in the wrong place", name, value))
		}
	}
	f("method", p.Method, " \t\r\n\x00")
	f("host", p.Host, " \t\r\n\x00")
	f("path", p.Path, " \t\r\n\x00")
	f("user", p.User, "\x00")
	f("database", p.Database, "\x00")
	for _, field := range p.Fields {
		f("field", field, "\r\n\x00")
		if name, _, ok := strings.Cut(field, ":"); !ok || name == "" {
			errs = append(errs, fmt.Errorf("field %q: expected \"Name: value\"", field))
		}
	}
	return errs
}

// bulk reports that the workload is a stream of bytes, not of requests.
func (p *Plan) bulk() bool { return p.Kind == Download || p.Kind == Upload }

// treatment says what became of the bytes that were received, where it is not what
// every client does with them.
func (p *Plan) treatment() string {
	if p.Kind == Download && !p.Copy {
		return " (not copied out of the kernel)"
	}
	return ""
}

func (p *Plan) paced() bool { return p.ReadPace.set() || p.WritePace.set() }

// onLoop reports that event loops drive the connections; others have a goroutine each.
func (p *Plan) onLoop() bool {
	return !p.TLS && (p.Kind == HTTP1 || p.Kind == TCP || p.Kind == UDP || p.bulk())
}

// grace is how long requests that are under way, or overdue, may still take when
// the measurement ends.
func (p *Plan) grace() time.Duration { return min(p.Timeout, 5*time.Second) }
