// Package conf turns one TOML file into one value, or into a list of problems.
//
// It is a leaf: pure data, no run-time state, no import of another Weir package.
// The names, types, defaults, units and documentation of every key live in the
// schema (schema*.go); the structs here only hold what the schema binds, so a
// field's meaning is read there, or in docs/config.md, which is generated from it.
//
// A Config returned by Load is complete: every default is filled in, every
// address parsed, every name resolved, relative files made absolute. It is never
// changed after that and may be shared by any number of goroutines.
package conf

import "time"

// Size is a number of bytes.
type Size int64

// Config is one configuration file, checked and complete.
type Config struct {
	File      string // absolute path; "" where Parse read it from memory
	Process   Process
	Admin     Admin
	Log       Log
	AccessLog AccessLog
	DNS       DNS
	Cache     Cache
	Compress  Compression
	Pools     []Pool // in file order
	L4        []L4
	L7        []L7
}

// Process is [process]: what holds for Weir as a whole.
type Process struct {
	Loops             int // 0: one per core
	MaxConns          int // client connections; 0: derived from RLIMIT_NOFILE
	MaxConnsPerSource int // per source network; 0: no limit

	MaxConnRate          int // new client connections per second; 0: no limit
	MaxConnRatePerSource int
	SourcePrefixV4       int // bits of an address that make a source network
	SourcePrefixV6       int

	Zone string // where this Weir runs; "": it prefers no servers

	MemoryLimit Size // 0: that of the cgroup, or GOMEMLIMIT, or none

	DrainTimeout time.Duration
	StateDir     string // holds the admin token
	RuntimeDir   string // holds the admin socket where [admin] is absent
}

// Admin is [admin].
type Admin struct {
	Listen Addr   // zero: a unix socket in Process.RuntimeDir
	Token  Secret // empty: made at start in Process.StateDir
	Cert   string // PEM files; both or none; needed beyond loopback
	Key    string
}

// Log is [log]: the process log.
type Log struct {
	Level  string // debug, info, warn, error
	Format string // logfmt, json
}

// AccessLog is [access_log]: one record per L4 session and per L7 exchange.
type AccessLog struct {
	Path     string // a file, "stdout", "stderr" or "off"
	Format   string // json, logfmt
	Buffer   Size   // what may wait for the disk; beyond it lines are dropped and counted
	ClientIP string // full, masked (/24, /48), none
	Query    bool   // log query strings
}

// DNS is [dns]: how server names are resolved.
type DNS struct {
	Servers []Addr // empty: those of /etc/resolv.conf
	Timeout time.Duration
	MinTTL  time.Duration
	MaxTTL  time.Duration
}

// Pool is [pool.NAME]: a named group of backends for L4 and L7 alike.
type Pool struct {
	Name           string
	Servers        []Server
	Balance        string // round_robin, least_conn, p2c, random, least_latency, source_hash, hash
	HashBy         HashBy // of balance hash
	Zone           string // Process.Zone
	ZoneMin        int    // percent of the zone's servers that must take work for it to be preferred
	ConnectTimeout time.Duration
	ConnectTries   int           // servers that one connection tries; 0: 16
	ConnectTotal   time.Duration // all tries of one L4 session; 0: no limit
	Queue          int           // sessions and requests that wait while all servers are at max_conns
	QueueTimeout   time.Duration
	ProxyProtocol  string        // off, v1, v2
	SlowStart      time.Duration // 0: full weight at once
	TLS            *PoolTLS      // nil: plain
	Health         Health
	Ejection       Ejection
	Breaker        Breaker
	KeepAlive      KeepAlive
	Sessions       Sessions
	Sticky         PoolSticky
	Concurrency    Concurrency
	Socket         PoolSocket
}

// PoolSocket is [pool.NAME.socket]. The zero value sets no option.
type PoolSocket struct {
	NoDelay           bool
	KeepAlive         time.Duration // idle time before probes; 0: none
	KeepAliveInterval time.Duration
	KeepAliveCount    int
	UserTimeout       time.Duration // 0: the kernel's
	FastOpen          bool
	Source            []string // IP addresses, at most one per family
	Mark              int      // 0: none
}

// ListenSocket is [l4.socket] and [l7.socket].
type ListenSocket struct {
	NoDelay           bool
	KeepAlive         time.Duration // idle time before probes; 0: none
	KeepAliveInterval time.Duration
	KeepAliveCount    int
	UserTimeout       time.Duration // 0: the kernel's
	FastOpenQueue     int           // 0: no fast open
	Mark              int           // 0: none
}

// Server is one entry of servers in a pool.
type Server struct {
	Addr        Addr
	Weight      int
	Zone        string // where it runs; "": not told
	MaxConns    int    // 0: no limit
	Backup      bool
	Maintenance bool // configured out of rotation
}

// Health is [pool.NAME.health]: active checks. Type "" means none.
type Health struct {
	Type         string // "", tcp, tls, http, postgres, mysql, redis, smtp, expect
	Interval     time.Duration
	DownInterval time.Duration // while the endpoint is down
	Timeout      time.Duration
	Rise         int
	Fall         int
	Port         uint16 // 0: the server's own
	Path         string // http
	Host         string // http; "": the server's address
	Status       []int  // http; accepted codes, empty: 200-399
	Body         string // http; must be contained in the first 64 KiB, "" matches all

	TLS      string // off, prefer, require; "": prefer where postgres or mysql logs in, else off
	CA       string // PEM file; the certificate is verified only with CA or Name
	Name     string // in the certificate and as SNI; "": the server's host
	User     string // "": no login
	Password Secret
	Database string        // postgres
	Role     string        // what the pool uses: any, primary, replica
	MaxLag   time.Duration // of a replica that the pool uses; 0: no limit
	Script   []HealthStep  // expect
	UDP      bool          // expect: each step sends a datagram
}

// HealthStep is one step of an expect check: it sends, then waits. One of the two
// may be "".
type HealthStep struct {
	Send   string
	Expect string
}

// Ejection is [pool.NAME.ejection]: passive health, from live traffic.
type Ejection struct {
	Enabled    bool
	Failures   int           // resets and 5xx in a row; refused connections eject at once
	Time       time.Duration // first ejection; doubles each time
	MaxTime    time.Duration
	MaxPercent int // of a group's servers

	GatewayFailures int // 502, 503 and 504 in a row; 0: they have no limit of their own

	FailurePercent int           // of what a server did in Window; 0: only failures in a row count
	Window         time.Duration // that FailurePercent looks at
	MinRequests    int           // in Window, below which FailurePercent says nothing
}

// KeepAlive is [pool.NAME.keepalive]: idle connections kept to HTTP servers.
type KeepAlive struct {
	MaxIdle     int // per endpoint; 0: none are kept
	IdleTimeout time.Duration
}

// Sessions is [pool.NAME.sessions]: what becomes of L4 sessions whose server is
// lost. Each of the first three is keep, drain or close.
type Sessions struct {
	OnDown       string
	OnRemoved    string
	OnRoleLost   string
	DrainTimeout time.Duration
}

// L4 is one [[l4]]: TCP connections or UDP datagrams passed through.
type L4 struct {
	Name              string
	Listen            []Addr
	Protocol          string   // auto, tls, postgres, mysql
	ServerVersion     string   // mysql: of the greeting
	ProxyProtocol     []string // CIDR; peers that must begin with a PROXY header
	TLS               *L4TLS   // nil: TLS passes through
	Mode              string   // of connections to Pool: terminate, passthrough
	Pool              string   // where there is no route, or none matches; "" closes
	Routes            []L4Route
	MaxConns          int // 0: no limit
	MaxConnsPerSource int

	MaxConnRate, MaxConnRatePerSource int // new connections per second; 0: no limit

	SniffTimeout      time.Duration
	SniffMax          Size
	ServerFirstWait   time.Duration // 0: a silent client is closed after SniffTimeout
	IdleTimeout       time.Duration
	HalfClosedTimeout time.Duration
	Lifetime          time.Duration // 0: no limit
	UDPIdleTimeout    time.Duration // as the next, UDP only
	UDPResponses      int           // to each datagram of a client; 0: any number
	Socket            ListenSocket

	// Bytes per second, 0: no limit. Download is to clients.
	DownloadRate, UploadRate                 Size // of each session
	ListenerDownloadRate, ListenerUploadRate Size // of all sessions together
}

// UDP reports whether the listener takes datagrams: its addresses are of one kind.
func (l *L4) UDP() bool { return len(l.Listen) > 0 && l.Listen[0].Network == "udp" }

// L4Route is one [[l4.route]]: conditions that must all hold, at least one, and
// exactly one of Pool and L7. An empty list is no condition.
type L4Route struct {
	Name     string   // never "": where the file has none, made of the conditions
	SNI      []string // lower case; "*.example.com" is one label or more below example.com
	ALPN     []string // the client offers one of them
	Protocol []string // tls, http1, http2, postgres
	Source   []string // CIDR
	Pool     string
	L7       string
	Mode     string // with Pool: terminate, passthrough
}

// L4TLS is [l4.tls].
type L4TLS struct {
	Certs            []Cert
	MinVersion       string   // 1.2, 1.3
	ALPN             []string // offered, the preferred first; empty: none is negotiated
	ClientCA         string   // PEM file
	ClientAuth       string   // none, request, require
	HandshakeTimeout time.Duration
}

// PoolTLS is [pool.NAME.tls]: TLS to the servers.
type PoolTLS struct {
	CA         string // PEM file; "": the roots of the system
	Name       string // in the certificate and as SNI; "": the server's host
	Verify     bool
	Cert       string // PEM files of the client's certificate; both or none
	Key        string
	MinVersion string // 1.2, 1.3
	MaxVersion string
	ALPN       []string // asked for; empty: none
}

// L7 is one [[l7]]: HTTP.
type L7 struct {
	Name              string
	Listen            []Addr   // may be empty: hand-over only
	ProxyProtocol     []string // CIDR; peers that must begin with a PROXY header
	TLS               *TLS     // nil: plain
	Redirect          []Addr   // redirect of [l7.tls]
	Routes            []L7Route
	Connects          []L7Connect // none: CONNECT is refused
	MaxConns          int         // 0: no limit
	MaxConnsPerSource int

	MaxConnRate, MaxConnRatePerSource int // new connections per second; 0: no limit

	HeaderTimeout    time.Duration
	KeepAliveTimeout time.Duration
	BodyGrace        time.Duration // then BodyMinRate must be met
	BodyMinRate      Size          // bytes per second, both directions of the client side
	MaxHeaderBytes   Size
	MaxHeaderFields  int
	MaxURI           Size
	MaxBody          Size // 0: no limit
	Paths            string
	TrustedProxies   []string // CIDR
	Forwarded        bool
	Via              bool
	HideHeaders      []string // response fields not sent on, "Server" and the like
	Socket           ListenSocket
}

// TLS is [l7.tls] but for its redirect.
type TLS struct {
	Certs      []Cert
	MinVersion string // 1.2, 1.3
}

// Cert is one certificate with its key, PEM files.
type Cert struct {
	Cert string
	Key  string
}

// L7Connect is one [[l7.connect]].
type L7Connect struct {
	To                []string // "host:port", the host lower case, exact or "*.example.com"
	Source            []string // CIDR; empty: anywhere
	Pool              string
	TunnelIdleTimeout time.Duration
}

// L7Route is one [[l7.route]].
type L7Route struct {
	Name                  string      // never "": where the file has none, made of the conditions
	Host                  []string    // lower case; empty: any
	Path                  string      // "/p/" prefix, "=/exact", "/u/{id}" pattern, "~regex"; "": any
	Method                []string    // empty: any
	Header, Query, Cookie []Condition // all must hold
	Source                []string    // CIDR; empty: anywhere
	Pool                  string      // "": Split or RouteAction
	Split                 []Share
	Sticky                Sticky   // of Split
	RewriteHost           Template // zero: Host as received
	ResponseHeaderTimeout time.Duration
	ReadTimeout           time.Duration // a stalled response body
	TunnelIdleTimeout     time.Duration // of a WebSocket
	MaxBody               Size          // 0: the listener's
	OnClientFin           string        // ignore, cancel
	HideHeaders           []string
	Timeout               time.Duration // to the response's head, all tries together; 0: no limit
	RequestBuffer         Size          // bodies up to this are read before a server is chosen; 0: none
	Retry                 Retry
	Cache                 *RouteCache // nil: nothing is stored
	Compress              *Compress   // nil: responses are sent as they are
	RouteAction
}
