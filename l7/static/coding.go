package static

import "weir/l7/message"

// accepts reports whether the client takes a content coding.
func accepts(fields []message.Field, coding string) bool {
	weight, _ := message.CodingWeight(fields, coding)
	return weight > 0
}
