package message

// Make makes r the head of a final response that was not received but put together:
// without a field, without a body, and with a length that is not known. Add, Framing and
// ContentLength complete it.
func (r *Response) Make(status int, reason []byte) {
	r.Reset()
	r.Minor, r.Status, r.Reason, r.ContentLength, r.KeepAlive = 1, status, reason, -1, true
}

// Add adds a field to r, behind those that it has. Name and value must be valid, and stay
// as they are for as long as r is used.
func (r *Response) Add(name, value []byte) {
	id := Lookup(name)
	r.present |= 1 << id
	r.Fields = append(r.Fields, Field{Name: name, Value: value, Known: id, Hop: known[id].bits&hop != 0})
}
