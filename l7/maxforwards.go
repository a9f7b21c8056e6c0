package l7

import (
	"strconv"

	"weir/l7/message"
)

// served is the value of Allow where not a route but Weir itself decides. Routes
// take other methods too; those are the ones that all clients know.
var served = []byte("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")

// maxForwardsDigits bounds Max-Forwards; no request comes near a billion proxies.
const maxForwardsDigits = 9

// countForward holds an OPTIONS to its Max-Forwards (RFC 9110 section 7.6.2): at
// zero Weir is the last to see it and answers for itself.
func (x *exchange) countForward() verdict {
	seen := false
	for i := range x.req.Fields {
		f := &x.req.Fields[i]
		if f.Known != message.MaxForwards {
			continue
		}
		n, err := strconv.ParseUint(string(f.Value), 10, 32)
		if seen || err != nil || len(f.Value) > maxForwardsDigits {
			return x.refuse(400, message.Client, "bad_max_forwards", nil)
		}
		seen, x.forwards = true, int(n)
	}
	if x.forwards > 0 {
		return next
	}
	x.reply = reply{status: 200, allow: served, text: "Max-Forwards ends here."}
	return respond
}

// appendForwards appends a Max-Forwards field counted down by this hop.
func appendForwards(dst []byte, f *message.Field, received int) []byte {
	dst = append(dst, f.Name...)
	dst = append(dst, ':', ' ')
	dst = strconv.AppendInt(dst, int64(received-1), 10)
	return append(dst, '\r', '\n')
}
