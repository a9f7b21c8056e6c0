package policy

import "encoding/binary"

// KeyURL takes a key of AppendKey apart: the scheme, the host with its port, and the
// canonical path without the query. ok is false for what is no key.
func KeyURL(key []byte) (scheme, host, path []byte, ok bool) {
	if len(key) == 0 || key[0] != keyVersion {
		return nil, nil, nil, false
	}
	if _, key, ok = cutPart(key[1:]); !ok || len(key) == 0 {
		return nil, nil, nil, false
	}
	fingerprint := 1 + 8*int(key[0])
	if key[0] > 1 || len(key) <= fingerprint {
		return nil, nil, nil, false
	}
	if scheme, key, ok = cutPart(key[fingerprint:]); !ok {
		return nil, nil, nil, false
	}
	if host, key, ok = cutPart(key); !ok {
		return nil, nil, nil, false
	}
	path, _, ok = cutPart(key)
	return scheme, host, path, ok
}

// cutPart takes off what appendPart appended.
func cutPart(b []byte) (part, rest []byte, ok bool) {
	n, size := binary.Uvarint(b)
	if size <= 0 || n > uint64(len(b)-size) {
		return nil, nil, false
	}
	return b[size:][:n], b[size:][n:], true
}
