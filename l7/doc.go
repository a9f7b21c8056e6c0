// Package l7 is the HTTP proxy: it takes connections that a loop handed over,
// reads requests, and answers each by one exchange with a backend.
//
// # Life of a request
//
// Serve gives a connection to the lane of its loop (lane.go), which reads a head
// (package h1) that package message has made canonical, and runs the exchange over the
// table of steps in exchange.go; so does a goroutine where there is TLS, or something
// has to be waited for that a lane does not wait for:
//
//	canonicalise -> route -> guard -> act -> forward -> transform -> deliver -> log
//
// A step goes on to the next, answers by itself (respond: continue at deliver), or
// gives up on the connection (end: continue at log). There is no other way through. On a
// lane it may also stop, to be called again (wait) or to be left to a goroutine (leave).
//
// # Who owns what
//
// An exchange belongs to the goroutine of its connection, or to its lane, and is used
// again for the next request. While a large request body is sent on, a second goroutine owns
// the reading half of the client connection and the writing half of the backend's
// (upload.go). One sweeper goroutine looks at all connections twenty times a second while there are some:
// it notices clients that went away and ends idle connections of a drain (sweep.go).
//
// # Configuration
//
// Build makes an immutable Snapshot and Apply swaps one pointer. A request uses
// the snapshot that was in force when its head was complete, to its end.
package l7
