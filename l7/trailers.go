package l7

import (
	"slices"

	"weir/l7/message"
)

// requestTrailers are the trailer fields that go to the backend: a field that the route
// sets or removes must not come in by the back door, since some servers take trailers
// for fields of the head.
func (x *exchange) requestTrailers() []message.Field {
	act := x.route.act
	if act == nil {
		return x.h.Trailers()
	}
	return without(x.h.Trailers(), act.request.drops)
}

// without returns the fields but those whose name drops says; fields itself is not
// changed, as it may be asked for once more.
func without(fields []message.Field, drops func(name []byte) bool) []message.Field {
	dropped := func(f message.Field) bool { return drops(f.Name) }
	if !slices.ContainsFunc(fields, dropped) {
		return fields
	}
	return slices.DeleteFunc(slices.Clone(fields), dropped)
}
