package main

import (
	"strings"

	"weir/l7"
)

// explainBefore prints what comes in the way of an answer: faults, and the action.
func explainBefore(line func(name, format string, args ...any), x *l7.Explanation) {
	if text := x.FaultText(); text != "" {
		line("fault", "%s", text)
	}
	if x.Action != "" {
		line("action", "%s", x.Action)
	}
}

// explainSent prints the head that a server gets, and who gets a copy.
func explainSent(line func(name, format string, args ...any), x *l7.Explanation) {
	for i, text := range x.Sent {
		line(first(i, "sent"), "%s", text)
	}
	if x.Held {
		line("", "(the body is read wholly before a server is chosen)")
	}
	if m := x.Mirror; m != nil {
		if m.Percent == 0 {
			line("mirror", "%s: not this request (a WebSocket, or its body is too long)", m.Pool)
		} else {
			line("mirror", "%s, %d %%", m.Pool, m.Percent)
		}
	}
}

// maxBodyShown is how much of a fixed response's body is shown, in bytes.
const maxBodyShown = 60

// explainResponse prints what the route changes of the response.
func explainResponse(line func(name, format string, args ...any), x *l7.Explanation) {
	if n := len(x.Body); n > maxBodyShown {
		line("body", "%q and %d more bytes", x.Body[:maxBodyShown], n-maxBodyShown)
	} else if n > 0 {
		line("body", "%q", x.Body)
	}
	n := 0
	for _, field := range x.ResponseFields {
		line(first(n, "response"), "with %s", field)
		n++
	}
	if len(x.ResponseHidden) > 0 && len(x.Sent) > 0 {
		line(first(n, "response"), "without the server's own %s", strings.Join(x.ResponseHidden, ", "))
	}
}

// first is the name of a block on its first line, and nothing on the others.
func first(i int, name string) string {
	if i > 0 {
		return ""
	}
	return name
}
