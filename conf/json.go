package conf

import (
	"bytes"
	"encoding/json"
)

// object is a JSON object that keeps its order.
type object []member

type member struct {
	name  string
	value any
}

// MarshalJSON writes the members in order.
func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		for j, v := range []any{m.name, m.value} {
			if j > 0 {
				b.WriteByte(':')
			}
			text, err := json.Marshal(v)
			if err != nil {
				return nil, err
			}
			b.Write(text)
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// JSON gives the whole configuration with every default, in the order of the
// reference and with the names of the file. Durations, sizes and addresses are
// strings as the file has them; secrets are hidden. The same configuration
// always gives the same bytes. It is indented and ends with a newline.
func (c *Config) JSON() ([]byte, error) {
	text, err := json.MarshalIndent(schema().show(c), "", "  ")
	if err != nil {
		return nil, err
	}
	return append(text, '\n'), nil
}
