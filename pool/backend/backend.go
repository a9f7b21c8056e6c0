// Package backend keeps what Weir knows about the servers behind it and chooses
// one of them for each connection and each request, for L4 and L7 alike.
//
// A Group is one pool of the configuration. Its Members are the addresses of its
// servers, one per address a name resolves to. Behind a member stands an Endpoint,
// the address with its check settings, which several groups may share: what one
// caller learns of it (refused, too slow, broken) holds at once for all others.
//
// Pick reads one immutable table behind an atomic pointer and allocates nothing.
// Everything that changes the table (a reload, a check, an ejection, a changed DNS
// answer, the administrator) goes through the Registry, whose lock is never taken
// on the way of a Pick, a Done or the Report of a success.
//
// The goroutines are the registry's: one that waits for the end of ejections and
// the steps of slow starts, one per checked endpoint, one per resolved name. Close
// ends them all.
package backend

import "errors"

// ErrNoServer is returned by Pick when no member is left that is usable and that
// the query has not tried.
var ErrNoServer = errors.New("no server of the pool is usable")

// ErrFull is returned by Pick when members are usable, but each has as many
// connections or requests in flight as its max_conns allows.
var ErrFull = errors.New("every usable server of the pool is at its max_conns")

// MaxWeight is the highest weight of a member.
const MaxWeight = 1000

// The balancers, as in the configuration.
const (
	balanceRoundRobin = "round_robin"
	balanceLeastConn  = "least_conn"
	balanceP2C        = "p2c"
	balanceRandom     = "random"
	balanceSourceHash = "source_hash"
	balanceHash       = "hash" // source_hash with a Query.Hash of something else
	balanceLatency    = "least_latency"
)
