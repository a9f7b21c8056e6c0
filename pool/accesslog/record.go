// Package accesslog writes one line per L4 session and per L7 exchange.
//
// A record is encoded by the goroutine or loop that ends it, into memory on loan
// from package pool, and appended to a batch; one goroutine writes the batches.
// Nothing that the target does reaches the traffic: when a full disk, a stopped
// pager or a dead reader makes the batches pile up to their bound, new lines are
// dropped and counted.
//
// A line is one JSON object or a row of logfmt pairs, with these keys. Keys with
// an empty value are left out; durations are in seconds, with microseconds.
//
//	time                        when the session or the request began, UTC
//	kind                        l4 or l7
//	listener, route             by name, as in the configuration
//	pool, backend               group, and the server that was chosen last
//	client, client_port         the peer; the port only where client_ip = "full"
//	sni                         name asked for in the TLS hello
//	alpn_offered                protocols that the client offered by ALPN, where its TLS hello was read
//	tls, alpn, client_cert      l4, where Weir ended TLS: version, protocol agreed on, subject of
//	                            the client's certificate
//	proto, method, host         of the request, as received
//	path, query                 the query only where query = true
//	status                      of the response, 0 where none was sent
//	bytes_in, bytes_out         received from the client, sent to it
//	datagrams_in, datagrams_out the same of a UDP session
//	duration_seconds            from the beginning to the last byte
//	side, reason                who failed (client, upstream, internal) and how; how a session ended
//	ended_by                    the side (client, upstream) that ended an L4 session first, in good order
//	request_id
//	cache, cache_reason         on routes with a cache: hit, stale, revalidated, miss, bypass, error or purge, and why
//	cache_store                 what became of a backend's response: stored, or why not
//	coding, uncoded             on a route that compresses: gzip, br or zstd, or why the response was sent as it is
//	retries                     further tries after the first
//	sniff_seconds, tls_seconds, route_seconds, connect_seconds, first_byte_seconds, deliver_seconds
//	                            stages, where they were timed
//	queue_seconds               in the queue of the pool, where the session or request was in it
package accesslog

import (
	"net/netip"
	"time"
)

// L7Record describes one exchange. The log borrows it, and all it points to,
// only until L7 returns.
type L7Record struct {
	Start     time.Time
	Listener  string
	Route     string
	Pool      string
	Backend   string
	Client    netip.AddrPort
	SNI       string
	Proto     string // "HTTP/1.1"
	Method    []byte
	Host      []byte
	Path      []byte // without the query
	Query     []byte // without the question mark
	Status    int
	BytesIn   int64
	BytesOut  int64
	Duration  time.Duration
	Side      string // client, upstream, internal; "" where nothing failed
	Reason    string
	RequestID []byte
	Retries   int
	Stages    Stages

	Cache, CacheReason, CacheStore string // "" where no cache was asked
	Coding                         string // that Weir encoded the response with
	Uncoded                        string // why it did not, on a route that compresses
}

// L4Record describes one session. The log borrows it only until L4 returns.
type L4Record struct {
	Start    time.Time
	Listener string
	Route    string
	Pool     string
	Backend  string
	Client   netip.AddrPort
	SNI      string
	Offered  string // by ALPN in the client's TLS hello, with commas
	// Of TLS that Weir ended, empty where it did not.
	TLS        string // the version: "TLS 1.3"
	ALPN       string // that was agreed on
	ClientCert string // subject of the client's certificate, which was verified

	BytesIn  int64 // from the client
	BytesOut int64 // to the client

	DatagramsIn, DatagramsOut int64 // of a UDP session, as the bytes

	Duration time.Duration
	Side     string
	Reason   string // how the session ended
	EndedBy  string // the side that ended first, where both ended as they should
	Retries  int    // backends tried after the first
	Stages   Stages
}

// Stages are the times that parts of an exchange or session took; zero means
// that the part was not timed or did not happen.
type Stages struct {
	Sniff, TLS, Route, Queue, Connect, FirstByte, Deliver time.Duration
}
