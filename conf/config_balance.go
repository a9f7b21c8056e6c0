package conf

// HashBy is what balance = "hash" chooses a server by. The zero value is none.
type HashBy struct {
	Of   string // source, path, header, cookie
	Name string // of the header or the cookie
}

// String gives the form of the configuration, "" for none.
func (h HashBy) String() string {
	if h.Name == "" {
		return h.Of
	}
	return h.Of + ":" + h.Name
}
