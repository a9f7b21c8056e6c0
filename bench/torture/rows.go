package torture

import "fmt"

// A row is one of docs/faults.md that the torture plays again and again, each time
// with clients and backends of its own.
type row struct {
	number   int
	fault    string
	backends int    // in its own pool
	tls      bool   // they speak TLS
	ejects   bool   // passive health may eject them; else only a refused connection does
	top      string // lines of its pool's table
	route    string // lines of its route
	play     func(*scene) error
}

func (r *row) pool() string { return fmt.Sprintf("row%02d", r.number) }

// settings are those of the row's pool. An ejection that follows another one takes
// no longer than the first, so that a row can be played again at once.
func (r *row) settings() string {
	failures := 10000
	if r.ejects {
		failures = 5
	}
	return fmt.Sprintf("%s\n[pool.%s.ejection]\nfailures = %d\nmax_time = \"1s\"\n", r.top, r.pool(), failures)
}

// The pools that are named in the configuration outside of their row.
const (
	holePool  = "row08"
	helloPool = "row38"
)

// rows are all of them. Rows 25, 47, 50, 53, 54 and 56 need a process, or all of
// the run, and are played elsewhere.
var rows = []row{
	{number: 1, fault: "a backend is killed while connections to it are idle", backends: 2, play: killedIdle},
	{number: 2, fault: "a backend closes before it has answered", backends: 2, play: diesBeforeHead},
	{number: 3, fault: "a body with Content-Length ends early", backends: 2, play: cutsLength},
	{number: 4, fault: "a chunked body ends early", backends: 2, play: cutsChunked},
	{number: 5, fault: "the client's upload ends early", backends: 2, play: uploadCut},
	{
		number: 6, fault: "a backend is stopped", backends: 2, ejects: true,
		route: `response_header_timeout = "1s"`, play: stopped,
	},
	{number: 7, fault: "a server refuses connections; all do", backends: 3, play: refusing},
	{
		number: 8, fault: "a server swallows connection attempts", backends: 1,
		top: `connect_timeout = "300ms"`, play: blackhole,
	},
	{number: 9, fault: "a backend resets mid-stream", backends: 2, play: resets},
	{number: 10, fault: "a backend closes after its answer", backends: 2, play: finAfterReply},
	{number: 11, fault: "a kept connection is closed as a request goes out", backends: 2, play: stale},
	{number: 12, fault: "a backend sends more than its answer", backends: 2, play: surplus},
	{number: 13, fault: "a backend answers while the client still sends", backends: 2, play: early},
	{number: 14, fault: "an answer that is no HTTP", backends: 2, play: noHTTP},
	{
		number: 16, fault: "a backend stalls in the middle of a body", backends: 2,
		route: `read_timeout = "1s"`, play: stallsInBody,
	},
	{number: 19, fault: "a head trickles in", backends: 1, play: slowHead},
	{number: 21, fault: "a client stops reading a long answer", backends: 1, play: slowReader},
	{number: 22, fault: "a client is gone", backends: 1, play: clientGone},
	{number: 23, fault: "a client half-closes", backends: 1, play: halfClose},
	{number: 24, fault: "more connections than allowed", play: beyondCap},
	{number: 27, fault: "a head or a target is too long", backends: 1, play: tooLong},
	{number: 28, fault: "a request that can be read in two ways", backends: 1, play: ambiguous},
	{number: 29, fault: "Connection names fields; X-Forwarded fields are made up", backends: 1, play: hopByHop},
	{number: 31, fault: "CONNECT, TRACE, an Upgrade to something else", backends: 1, play: tunnels},
	{number: 38, fault: "a TLS hello in pieces, or without end", backends: 1, tls: true, play: splitHello},
	{
		number: 39, fault: "the Host is not one that the TLS name's certificate stands for", backends: 1,
		play: nameAndHost,
	},
}
