package static

import "weir/l7/message"

// best returns which of some codings the client likes best, leaving out those whose bit is
// in tried; the first of several. It returns -1 where it takes none, or likes the file as
// it is better.
func best(fields []message.Field, codings []string, tried uint8) int {
	at, most := -1, 0
	for i, c := range codings {
		if tried&(1<<i) != 0 {
			continue
		}
		if w, _ := message.CodingWeight(fields, c); w > most {
			at, most = i, w
		}
	}
	if at >= 0 {
		if w, named := message.CodingWeight(fields, "identity"); named && w > most {
			return -1
		}
	}
	return at
}
