package sniff

import (
	"bytes"
	"net/netip"
)

// Addresses are read here and not by netip, which wants strings: they would be
// allocated.

func parseIPv4(b []byte) (netip.Addr, bool) {
	var out [4]byte
	for i := range out {
		part := b
		if i < len(out)-1 {
			var ok bool
			if part, b, ok = bytes.Cut(b, []byte{'.'}); !ok {
				return netip.Addr{}, false
			}
		}
		n, ok := decimal(part, 255)
		if !ok {
			return netip.Addr{}, false
		}
		out[i] = byte(n)
	}
	return netip.AddrFrom4(out), true
}

// parseIPv6 reads the forms of RFC 4291 section 2.2. Zones are refused: they mean
// nothing to another machine. IPv4 in IPv6 becomes IPv4.
func parseIPv6(b []byte) (netip.Addr, bool) {
	var out [16]byte
	n, gap := 0, -1 // bytes written, and where "::" stands
	if len(b) >= 2 && b[0] == ':' && b[1] == ':' {
		b, gap = b[2:], 0
	}
	for len(b) > 0 && n < len(out) {
		group, rest, more := bytes.Cut(b, []byte{':'})
		if bytes.IndexByte(group, '.') >= 0 {
			a, ok := parseIPv4(group)
			if !ok || more || n > len(out)-4 {
				return netip.Addr{}, false
			}
			a4 := a.As4()
			n += copy(out[n:], a4[:])
			b = nil
			break
		}
		v, ok := hexadecimal(group)
		if !ok {
			return netip.Addr{}, false
		}
		out[n], out[n+1] = byte(v>>8), byte(v)
		n += 2
		b = rest
		if more && len(b) > 0 && b[0] == ':' {
			if gap >= 0 {
				return netip.Addr{}, false
			}
			b, gap = b[1:], n
		} else if more && len(b) == 0 {
			return netip.Addr{}, false
		}
	}
	if len(b) > 0 || (n == len(out)) != (gap < 0) {
		return netip.Addr{}, false
	}
	if gap >= 0 {
		moved := copy(out[len(out)-(n-gap):], out[gap:n])
		clear(out[gap : len(out)-moved])
	}
	return netip.AddrFrom16(out).Unmap(), true
}

// hexadecimal reads one to four digits.
func hexadecimal(b []byte) (n int, ok bool) {
	if len(b) == 0 || len(b) > 4 {
		return 0, false
	}
	for _, c := range b {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		n = n<<4 | int(c)
	}
	return n, true
}

// decimal reads a number without sign and without leading zeros.
func decimal(b []byte, most int) (n int, ok bool) {
	if len(b) == 0 || len(b) > 5 || b[0] == '0' && len(b) > 1 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int(c-'0')
	}
	return n, n <= most
}
