package l7

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"

	"weir/conf"
	"weir/l7/message"
	"weir/l7/route"
)

// split is what a route with several pools has beside them: by whom a request is
// served is decided once, right after its route is found.
type split struct {
	by    *route.Split
	sides []*routeState // the route, once for each pool

	header string // lower case; "": not by a field
	known  message.ID
	cookie string // "": not by a cookie
	// attributes follow the value of the cookie in a Set-Cookie field.
	attributes string
}

// newSplit makes the split of a route; build makes the route with one pool alone.
func newSplit(c *conf.L7Route, build func(pool string) (*routeState, error)) (*split, error) {
	sp := &split{
		header: strings.ToLower(c.Sticky.Header), known: message.Lookup([]byte(c.Sticky.Header)),
		cookie: c.Sticky.Cookie, attributes: "; Path=/; HttpOnly; SameSite=Lax",
	}
	if age := c.Sticky.MaxAge; age > 0 {
		sp.attributes += "; Max-Age=" + strconv.Itoa(int(age.Seconds()))
	}
	weights := make([]int, len(c.Split))
	for i := range c.Split {
		weights[i] = c.Split[i].Weight
		side, err := build(c.Split[i].Pool)
		if err != nil {
			return nil, err
		}
		sp.sides = append(sp.sides, side)
	}
	var err error
	if sp.by, err = route.NewSplit(weights); err != nil {
		return nil, fmt.Errorf("cannot use split: %w", err)
	}
	return sp, nil
}

// takeSide chooses the side of a split for the request, where its route has one. A
// client without the cookie gets one with the response.
func (x *exchange) takeSide() {
	sp := x.route.split
	if sp == nil {
		return
	}
	point, sticks := x.stickyPoint(sp)
	if !sticks {
		point = rand.Uint64()
	}
	if !sticks && sp.cookie != "" {
		var raw [8]byte
		binary.LittleEndian.PutUint64(raw[:], point)
		x.sticky = hex.AppendEncode(x.sticky[:0], raw[:])
		point = route.Hash(x.sticky)
	}
	x.route = sp.sides[sp.by.Side(point)]
}

// stickyPoint returns the point of what the client is recognised by.
func (x *exchange) stickyPoint(sp *split) (point uint64, sticks bool) {
	var value []byte
	switch {
	case sp.cookie != "":
		value, sticks = route.Cookie(&x.lookup, sp.cookie)
	case sp.header != "":
		value, sticks = route.Field(&x.lookup, sp.header, sp.known)
	}
	if sticks {
		point = route.Hash(value)
	}
	return point, sticks
}

// appendSticky appends the cookie that keeps the client on its side, if it is new.
func (x *exchange) appendSticky(dst []byte) []byte {
	if len(x.sticky) == 0 {
		return dst
	}
	sp := x.route.split
	dst = append(dst, "Set-Cookie: "...)
	dst = append(dst, sp.cookie...)
	dst = append(dst, '=')
	dst = append(dst, x.sticky...)
	dst = append(dst, sp.attributes...)
	if x.clientScheme() == "https" {
		dst = append(dst, "; Secure"...)
	}
	return append(dst, '\r', '\n')
}
