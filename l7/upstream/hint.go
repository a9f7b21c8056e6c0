package upstream

import (
	"bytes"
	"time"

	"weir/l7/message"
)

// idleHint reads how long the backend keeps an idle connection from the value of
// a Keep-Alive field ("timeout=5, max=100"; RFC 2068 section 19.7.1.1, and what
// Node.js and Apache httpd send). Four fifths of it are used: a request sent in
// the last moment meets a connection that is being closed. Zero: it does not say.
func idleHint(value []byte) time.Duration {
	for parameter := range bytes.SplitSeq(value, []byte{','}) {
		name, number, _ := bytes.Cut(parameter, []byte{'='})
		if !message.EqualFold(bytes.TrimSpace(name), "timeout") {
			continue
		}
		seconds := 0
		number = bytes.TrimSpace(number)
		if len(number) == 0 || len(number) > 6 {
			return 0
		}
		for _, c := range number {
			if c < '0' || c > '9' {
				return 0
			}
			seconds = seconds*10 + int(c-'0')
		}
		return time.Duration(seconds) * time.Second * 4 / 5
	}
	return 0
}
