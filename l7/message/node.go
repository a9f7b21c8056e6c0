package message

import (
	"bytes"
	"net/netip"
	"unsafe"
)

// maxNode is the longest address that NodeAddr takes, with brackets and a port.
const maxNode = len("[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535")

// NodeAddr reads the address of a node as X-Forwarded-For has it, and Forwarded (RFC 7239
// section 6): IPv4, or IPv6 with or without brackets, with or without a port. It reports
// false for all else: names, "unknown", addresses with a zone. IPv4 in IPv6 becomes IPv4.
func NodeAddr(b []byte) (addr netip.Addr, ok bool) {
	if len(b) == 0 || len(b) > maxNode {
		return addr, false
	}
	if b[0] == '[' {
		addr, rest, fine := parseIPv6(b)
		return addr.Unmap(), fine && validPort(rest)
	}
	if bytes.Count(b, []byte(":")) == 1 {
		i := bytes.IndexByte(b, ':')
		if !validPort(b[i:]) || i == 0 {
			return addr, false
		}
		b = b[:i]
	}
	for _, c := range b {
		if octets[c]&isHex == 0 && c != '.' && c != ':' {
			return addr, false // a word, or an address with a zone
		}
	}
	// No copy: see parseIPv6.
	addr, err := netip.ParseAddr(unsafe.String(&b[0], len(b)))
	return addr.Unmap(), err == nil
}

// emptyElements is what lists may have before and behind elements (RFC 9110 section 5.6.1).
const emptyElements = ", \t"

// NextForwarded reads the first element of a Forwarded field's value (RFC 7239 section 4).
// It returns the value of its "for", without quotes, nil where it has none, and what
// follows the element, empty at the end. It reports false where the element is malformed.
func NextForwarded(list []byte) (node, rest []byte, ok bool) {
	list = bytes.TrimLeft(list, emptyElements)
	for {
		list = bytes.TrimLeft(list, " \t")
		i := 0
		for i < len(list) && octets[list[i]]&isToken != 0 {
			i++
		}
		if i == 0 || i == len(list) || list[i] != '=' {
			return nil, nil, false
		}
		name := list[:i]
		value, after, ok := tokenOrQuoted(list[i+1:])
		if !ok {
			return nil, nil, false
		}
		if EqualFold(name, "for") {
			if node != nil {
				return nil, nil, false // "each parameter MUST NOT occur more than once"
			}
			node = value
		}
		after = bytes.TrimLeft(after, " \t")
		switch {
		case len(after) == 0:
			return node, nil, true
		case after[0] == ',':
			return node, bytes.TrimLeft(after[1:], emptyElements), true
		case after[0] != ';':
			return nil, nil, false
		}
		list = after[1:]
	}
}

// tokenOrQuoted reads a token or a quoted string, of which it returns what is between the
// quotes. No address needs a backslash, so that a string with one is malformed here.
func tokenOrQuoted(b []byte) (value, rest []byte, ok bool) {
	if len(b) > 0 && b[0] == '"' {
		end := bytes.IndexAny(b[1:], `"\`)
		if end < 0 || b[1+end] == '\\' {
			return nil, nil, false
		}
		return b[1 : 1+end], b[2+end:], true
	}
	i := 0
	for i < len(b) && octets[b[i]]&isToken != 0 {
		i++
	}
	return b[:i], b[i:], i > 0
}
