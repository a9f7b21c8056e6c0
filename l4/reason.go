package l4

// reason says how a session ended. It is a label of metrics and a field of the
// access log.
type reason uint8

const (
	reasonDone              reason = iota // both directions ended
	reasonClientReset                     // the client broke the connection
	reasonBackendReset                    // the backend broke the connection
	reasonIdle                            // nothing moved for idle_timeout
	reasonHalfClosed                      // nothing moved for half_closed_timeout after one side had ended
	reasonLifetime                        // the session was as old as it may get
	reasonSniffTimeout                    // the first bytes did not arrive in time
	reasonSniffEnd                        // the client ended before its first bytes were complete
	reasonMalformed                       // the first bytes broke the rules
	reasonTooLarge                        // the first bytes were longer than allowed
	reasonNotTLS                          // no TLS where it is required
	reasonProxyTimeout                    // no whole PROXY header in time from where one is required
	reasonProxyMalformed                  // no PROXY header, or a bad one, from where one is required
	reasonProxyRefused                    // a PROXY header from where none is accepted
	reasonOverLimit                       // a cap of a PROXY client, of an L7 listener or of unfinished QUIC hellos
	reasonNoRoute                         // no route and no default pool
	reasonNoServer                        // no usable backend
	reasonQueueFull                       // every backend at its max_conns, and no place in the queue
	reasonQueueTimeout                    // no slot came free for queue_timeout
	reasonQueueLeft                       // the client ended while it was in the queue, without having said anything
	reasonConnectFailed                   // every backend that was tried failed
	reasonBackendRefusedTLS               // a PostgreSQL or MySQL backend did not accept TLS
	reasonBackendRefused                  // a MySQL backend took no login at all
	reasonBackendMalformed                // a MySQL backend did not speak MySQL
	reasonTooOld                          // a MySQL client that knows no authentication plugins
	reasonCancel                          // a CancelRequest was passed on to the servers
	reasonCancelLimit                     // more CancelRequests than are passed on
	reasonTLSHandshake                    // Weir was to end the client's TLS, and the handshake failed
	reasonTLSTimeout                      // the same, because it took too long
	reasonBackendTLS                      // no backend could be used by TLS, or one ended it with an alert
	reasonNoDescriptors                   // Weir was out of descriptors
	reasonNoPorts                         // Weir was out of local ports for connections to backends
	reasonBackendDown                     // the active check took the backend out
	reasonBackendRemoved                  // the backend left the pool
	reasonRoleLost                        // the backend no longer has the role that the pool wants
	reasonAdmin                           // the administrator ended it
	reasonRemoved                         // a reload removed the listening address (UDP)
	reasonDrain                           // the drain took too long, or Weir stopped
	reasonInternal                        // a bug of Weir
	numReasons
)

// Sides of a failure, as the access log has them.
const (
	sideNone     = ""
	sideClient   = "client"
	sideUpstream = "upstream"
	sideInternal = "internal"
)

// reasons has the words, and whether the connections end with an RST: always
// where a stream was cut, so that no one takes what he got for all.
var reasons = [numReasons]struct {
	name  string
	side  string
	reset bool
}{
	reasonDone:              {"done", sideNone, false},
	reasonClientReset:       {"client_reset", sideClient, true},
	reasonBackendReset:      {"backend_reset", sideUpstream, true},
	reasonIdle:              {"idle_timeout", sideNone, false},
	reasonHalfClosed:        {"half_closed_timeout", sideNone, true},
	reasonLifetime:          {"lifetime", sideInternal, true},
	reasonSniffTimeout:      {"sniff_timeout", sideClient, false},
	reasonSniffEnd:          {"sniff_end", sideClient, false},
	reasonMalformed:         {"malformed", sideClient, false},
	reasonTooLarge:          {"too_large", sideClient, false},
	reasonNotTLS:            {"not_tls", sideClient, false},
	reasonProxyTimeout:      {"proxy_timeout", sideClient, false},
	reasonProxyMalformed:    {"proxy_malformed", sideClient, false},
	reasonProxyRefused:      {"proxy_refused", sideClient, true},
	reasonOverLimit:         {"over_limit", sideClient, true},
	reasonNoRoute:           {"no_route", sideClient, false},
	reasonNoServer:          {"no_server", sideUpstream, true},
	reasonQueueFull:         {"queue_full", sideUpstream, true},
	reasonQueueTimeout:      {"queue_timeout", sideUpstream, true},
	reasonQueueLeft:         {"queue_left", sideClient, false},
	reasonConnectFailed:     {"connect_failed", sideUpstream, true},
	reasonBackendRefusedTLS: {"backend_refused_tls", sideUpstream, true},
	reasonBackendRefused:    {"backend_refused", sideUpstream, false},
	reasonBackendMalformed:  {"backend_malformed", sideUpstream, false},
	reasonTooOld:            {"too_old", sideClient, false},
	reasonCancel:            {"cancel", sideNone, false},
	reasonCancelLimit:       {"cancel_limit", sideClient, true},
	reasonTLSHandshake:      {"tls_handshake", sideClient, false},
	reasonTLSTimeout:        {"tls_timeout", sideClient, false},
	reasonBackendTLS:        {"backend_tls", sideUpstream, true},
	reasonNoDescriptors:     {"no_descriptors", sideInternal, true},
	reasonNoPorts:           {"no_ports", sideInternal, true},
	reasonBackendDown:       {"backend_down", sideUpstream, true},
	reasonBackendRemoved:    {"backend_removed", sideInternal, true},
	reasonRoleLost:          {"backend_role_lost", sideUpstream, true},
	reasonAdmin:             {"admin", sideInternal, true},
	reasonRemoved:           {"removed", sideInternal, true},
	reasonDrain:             {"drain", sideInternal, true},
	reasonInternal:          {"internal", sideInternal, true},
}

func (r reason) String() string { return reasons[r].name }
