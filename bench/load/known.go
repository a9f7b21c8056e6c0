package load

// maxKnown bounds a head that is kept: longer ones are read each time.
const maxKnown = 1 << 10

// A knownHead is the last head of a connection and what it meant. A server answers
// the same request with the same bytes, but for a date once in a second: comparing
// them is much cheaper than reading them. The zero value knows nothing.
type knownHead struct {
	text   []byte // with the empty line at its end
	state  responseState
	status int
	close  bool
	left   int64
}

// recall reads the head at the start of b if it is the known one, and returns its
// length, else 0. The same bytes are the same head: it ends at its first empty line.
func (r *response) recall(b []byte) int {
	k := &r.known
	n := len(k.text)
	if n == 0 || len(b) < n || string(b[:n]) != string(k.text) {
		return 0
	}
	r.state, r.status, r.close, r.left = k.state, k.status, k.close, k.left
	return n
}

// remember keeps the head that was just read. An interim one is not worth it.
func (r *response) remember(head []byte) {
	if r.state == inHead || len(head) > maxKnown {
		return
	}
	k := &r.known
	k.text = append(k.text[:0], head...)
	k.state, k.status, k.close, k.left = r.state, r.status, r.close, r.left
}
