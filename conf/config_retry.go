package conf

import "time"

// Retry is [l7.route.retry].
type Retry struct {
	Methods    []string      // beside GET, HEAD and OPTIONS
	Tries      int           // how often a request is sent in all
	On         []string      // connect, reset, timeout, statuses; empty: connect and reset
	Hedge      int           // percentile of response times after which a second server is asked; 0: never
	TryTimeout time.Duration // for the response's head, while another try is left; 0: none of its own
}
