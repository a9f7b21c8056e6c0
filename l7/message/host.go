package message

import (
	"bytes"
	"net/netip"
	"unsafe"
)

// maxHost is the longest host name taken: that of DNS with its final dot.
const maxHost = 254

// AppendHost appends the form of an authority (host or host:port, as in a Host
// field) that is used for matching: lower case, without port and without the final
// dot; an IPv6 literal stays in brackets and is written the one way of RFC 5952.
// User information, and octets that no host name has, are an *Error.
func AppendHost(dst, authority []byte) ([]byte, error) {
	name, v6, why := splitHost(authority)
	if why != ok {
		return dst, why.from(Client)
	}
	return appendHost(dst, name, v6), nil
}

// splitHost checks an authority and returns the host without port and final dot.
// For an IPv6 literal it returns the address instead.
func splitHost(b []byte) (name []byte, v6 netip.Addr, why reason) {
	if len(b) > 0 && b[0] == '[' {
		v6, rest, fine := parseIPv6(b)
		if !fine || !validPort(rest) {
			return nil, v6, badHost
		}
		return nil, v6, ok
	}
	i := 0
	for i < len(b) && octets[b[i]]&isHost != 0 {
		i++
	}
	if !validPort(b[i:]) {
		return nil, v6, badHost
	}
	name = b[:i]
	if i > 0 && name[i-1] == '.' {
		name = name[:i-1]
	}
	if len(name) == 0 || len(name) > maxHost || name[0] == '.' {
		return nil, v6, badHost
	}
	for j := 1; j < len(name); j++ {
		if name[j] == '.' && name[j-1] == '.' {
			return nil, v6, badHost
		}
	}
	if name[len(name)-1] == '.' {
		return nil, v6, badHost
	}
	return name, v6, ok
}

// parseIPv6 reads "[address]" and returns what follows.
func parseIPv6(b []byte) (addr netip.Addr, rest []byte, fine bool) {
	for i, c := range b {
		switch {
		case c == ']':
			// No copy: ParseAddr keeps the string of an address without zone in its error only.
			addr, err := netip.ParseAddr(unsafe.String(&b[1], i-1))
			return addr, b[i+1:], err == nil && addr.Is6()
		case i > 0 && octets[c]&isHex == 0 && c != ':' && c != '.':
			return addr, nil, false // a zone too: it means nothing on another machine
		}
	}
	return addr, nil, false
}

// validPort takes nothing, ":" and ":0" to ":65535".
func validPort(b []byte) bool {
	if len(b) == 0 {
		return true
	}
	if b[0] != ':' || len(b) > len(":65535") {
		return false
	}
	n := 0
	for _, c := range b[1:] {
		if c < '0' || c > '9' {
			return false
		}
		n = n*10 + int(c-'0')
	}
	return n <= 65535
}

// Port is the port of an authority (host:port), 0 where there is none from 1 to 65535.
// The host is not looked at.
func Port(authority []byte) int {
	i := bytes.LastIndexByte(authority, ':')
	if i < 0 || i+1 == len(authority) || !validPort(authority[i:]) {
		return 0
	}
	n := 0
	for _, c := range authority[i+1:] {
		n = n*10 + int(c-'0')
	}
	return n
}

func appendHost(dst, name []byte, v6 netip.Addr) []byte {
	if v6.IsValid() {
		dst = append(dst, '[')
		dst = v6.AppendTo(dst)
		return append(dst, ']')
	}
	for _, c := range name {
		dst = append(dst, lower(c))
	}
	return dst
}

// canonicalHost returns name itself where it is canonical already.
func (r *Request) canonicalHost(name []byte, v6 netip.Addr) []byte {
	if !v6.IsValid() {
		i := 0
		for i < len(name) && name[i] == lower(name[i]) {
			i++
		}
		if i == len(name) {
			return name
		}
	}
	start := len(r.scratch)
	r.scratch = appendHost(r.scratch, name, v6)
	return r.scratch[start:len(r.scratch):len(r.scratch)]
}
