package conf

// Secret is a value that no log, API, golden file or error message may show.
type Secret struct {
	value string
}

// NewSecret wraps an already resolved value, for callers without a file.
func NewSecret(value string) Secret { return Secret{value} }

// Reveal returns the value itself.
func (s Secret) Reveal() string { return s.value }

// IsZero reports whether no secret was given.
func (s Secret) IsZero() bool { return s.value == "" }

// String hides the value, so that a stray %v shows nothing.
func (s Secret) String() string {
	if s.value == "" {
		return ""
	}
	return "(secret)"
}

// MarshalJSON hides the value like String.
func (s Secret) MarshalJSON() ([]byte, error) {
	return []byte(`"` + s.String() + `"`), nil
}
