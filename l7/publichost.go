package l7

import (
	"bytes"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"weir/conf"
	"weir/l7/message"
)

// privateNames knows the names by which a pool's servers call themselves, so
// that a response field that names one of them can be given the public host
// instead. It is immutable.
type privateNames struct {
	ports map[string][]uint16 // host, lower case -> ports; nil: any port
}

// newPrivateNames collects the server names of one pool and the host that is
// sent to them in place of the client's ("" where Host goes as received, or is made for
// each request: see answerer).
func newPrivateNames(servers []conf.Server, rewriteHost string) *privateNames {
	p := &privateNames{ports: make(map[string][]uint16, len(servers)+1)}
	for _, s := range servers {
		if s.Addr.Network != "tcp" {
			continue
		}
		host := strings.TrimSuffix(strings.ToLower(s.Addr.Host), ".")
		p.ports[host] = append(p.ports[host], s.Addr.Port)
	}
	if rewriteHost != "" {
		host, _ := splitHostPort([]byte(strings.ToLower(rewriteHost)))
		p.ports[string(host)] = nil
	}
	return p
}

// answerer is who a response came from.
type answerer struct {
	addr netip.AddrPort // zero for a unix socket
	// host is what the request called it by where that is made for each request, in the
	// form for matching (see message.AppendHost) and without brackets; empty: it is not.
	host []byte
}

// names reports whether authority ("host" or "host:port") is one of the pool's
// servers, the address that the response came from, or the host that the request was
// sent to. A missing port matches every port, since servers often leave their own out.
func (p *privateNames) names(authority []byte, by answerer) bool {
	host, port := splitHostPort(authority)
	if host = bytes.TrimSuffix(host, []byte(".")); len(host) == 0 {
		return false
	}
	var lower [256]byte
	if len(host) > len(lower) {
		return false
	}
	key := appendLower(lower[:0], host)
	if len(by.host) > 0 && string(key) == string(by.host) {
		return true
	}
	ports, ok := p.ports[string(key)]
	if ok && (ports == nil || len(port) == 0) {
		return true
	}
	n, err := strconv.ParseUint(string(port), 10, 16)
	if err != nil && len(port) > 0 {
		return false
	}
	if slices.Contains(ports, uint16(n)) {
		return true
	}
	// A server configured by name answers with its address as often as not.
	if !by.addr.IsValid() || (len(port) > 0 && uint16(n) != by.addr.Port()) {
		return false
	}
	addr, err := netip.ParseAddr(string(key))
	return err == nil && addr.Unmap() == by.addr.Addr().Unmap()
}

// appendPublicURL appends value with the authority of a private server replaced
// by the public scheme and authority. It reports whether value named one; if
// not, dst comes back as it was.
func (p *privateNames) appendPublicURL(
	dst, value []byte, by answerer, scheme string, authority []byte,
) ([]byte, bool) {
	rest := value
	absolute := true
	switch {
	case hasPrefixFold(rest, "http://"):
		rest = rest[len("http://"):]
	case hasPrefixFold(rest, "https://"):
		rest = rest[len("https://"):]
	case bytes.HasPrefix(rest, []byte("//")):
		rest, absolute = rest[2:], false
	default:
		return dst, false
	}
	end := bytes.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	if len(authority) == 0 || !p.names(rest[:end], by) {
		return dst, false
	}
	if absolute {
		dst = append(dst, scheme...)
		dst = append(dst, ':')
	}
	dst = append(dst, "//"...)
	dst = append(dst, authority...)
	return append(dst, rest[end:]...), true
}

// appendPublicRefresh does the same for the URL inside a Refresh field, "5; url=http://...".
func (p *privateNames) appendPublicRefresh(
	dst, value []byte, by answerer, scheme string, authority []byte,
) ([]byte, bool) {
	at := indexFold(value, "url=")
	if at < 0 {
		return dst, false
	}
	at += len("url=")
	if at < len(value) && (value[at] == '"' || value[at] == '\'') {
		at++
	}
	out, ok := p.appendPublicURL(append(dst, value[:at]...), value[at:], by, scheme, authority)
	if !ok {
		return dst, false
	}
	return out, true
}

// appendPublicCookie does the same for the Domain attribute of a Set-Cookie field.
func (p *privateNames) appendPublicCookie(
	dst, value []byte, by answerer, host []byte,
) ([]byte, bool) {
	for at := 0; at < len(value); {
		semi := bytes.IndexByte(value[at:], ';')
		if semi < 0 {
			return dst, false
		}
		at += semi + 1
		for at < len(value) && (value[at] == ' ' || value[at] == '\t') {
			at++
		}
		if !hasPrefixFold(value[at:], "domain=") {
			continue
		}
		start := at + len("domain=")
		end := len(value)
		if semi := bytes.IndexByte(value[start:], ';'); semi >= 0 {
			end = start + semi
		}
		domain := bytes.TrimPrefix(bytes.TrimSpace(value[start:end]), []byte("."))
		if len(host) == 0 || !p.names(domain, by) {
			return dst, false
		}
		dst = append(dst, value[:start]...)
		dst = append(dst, host...)
		return append(dst, value[end:]...), true
	}
	return dst, false
}

// splitHostPort cuts "host:port", "[v6]:port" or "host" without judging either part.
func splitHostPort(authority []byte) (host, port []byte) {
	if len(authority) > 0 && authority[0] == '[' {
		end := bytes.IndexByte(authority, ']')
		if end < 0 {
			return nil, nil
		}
		host, rest := authority[1:end], authority[end+1:]
		if len(rest) > 0 && rest[0] == ':' {
			return host, rest[1:]
		}
		return host, nil
	}
	if colon := bytes.LastIndexByte(authority, ':'); colon >= 0 {
		return authority[:colon], authority[colon+1:]
	}
	return authority, nil
}

func appendLower(dst, b []byte) []byte {
	for _, c := range b {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

// hasPrefixFold is bytes.HasPrefix for an ASCII prefix given in lower case.
func hasPrefixFold(b []byte, lower string) bool {
	return len(b) >= len(lower) && message.EqualFold(b[:len(lower)], lower)
}

// indexFold is bytes.Index for an ASCII needle given in lower case.
func indexFold(b []byte, lower string) int {
	for i := 0; i+len(lower) <= len(b); i++ {
		if message.EqualFold(b[i:i+len(lower)], lower) {
			return i
		}
	}
	return -1
}
