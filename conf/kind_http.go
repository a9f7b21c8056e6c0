package conf

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// hostPattern is the host of a request: a DNS name, "*.example.com" or an IP
// address. It is lower-cased and loses its final dot.
func hostPattern() kind[string] {
	return word("host", "hosts", parseHostPattern)
}

func parseHostPattern(s string) (string, error) {
	if ip, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil && ip.Zone() == "" {
		if ip.Is6() {
			return "[" + ip.String() + "]", nil
		}
		return ip.String(), nil
	}
	return namePattern(s, "leave the key out to match every host")
}

// sniPattern is a name in a TLS ClientHello: a DNS name or "*.example.com".
func sniPattern() kind[string] {
	return word("server name", "server names", func(s string) (string, error) {
		if _, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
			return "", bad("%q is an IP address: TLS clients send none as a server name", s)
		}
		return namePattern(s, "the pool of the [[l4]] itself gets what no route matches")
	})
}

// namePattern reads a DNS name or "*.name"; forAny says how to match any name.
func namePattern(s, forAny string) (string, error) {
	if s == "*" {
		return "", bad("\"*\" is not a name; %s", forAny)
	}
	if i := strings.LastIndexByte(s, ':'); i >= 0 && !strings.ContainsAny(s, "/[]") {
		return "", bad("%q has a port: expected a name alone", s).meant(s[:i])
	}
	base, wildcard := strings.CutPrefix(s, "*.")
	if strings.Contains(base, "*") {
		return "", bad("%q: a wildcard can only be the whole leftmost label, as in \"*.example.com\"", s)
	}
	if !isDNSName(base) {
		return "", bad("%q is not a DNS name", s)
	}
	base = strings.ToLower(strings.TrimSuffix(base, "."))
	if wildcard {
		return "*." + base, nil
	}
	return base, nil
}

// hostHeader is the value of a Host field: a name or an address, and a port
// where it is not the default.
func hostHeader() kind[string] {
	return word("host", "hosts", func(s string) (string, error) {
		host := s
		if h, _, err := splitAddr(s); err == nil {
			host = h
		}
		if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err != nil && !isDNSName(host) {
			return "", bad("%q is not a host: expected \"name\" or \"name:port\"", s)
		}
		return strings.ToLower(s), nil
	})
}

// network is a range of addresses: "10.0.0.0/8", or one address.
func network() kind[string] {
	return word("network", "networks", func(s string) (string, error) {
		if ip, err := netip.ParseAddr(s); err == nil && ip.Zone() == "" {
			ip = ip.Unmap()
			return netip.PrefixFrom(ip, ip.BitLen()).String(), nil
		}
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return "", bad("cannot parse network %q: expected an address and a prefix length, as in \"10.0.0.0/8\"", s)
		}
		if p.Masked() != p {
			return "", bad("%q has bits set behind its prefix length", s).meant(p.Masked().String())
		}
		if p.Addr().Is4In6() && p.Bits() >= 96 { // as clients over IPv4 are compared
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		return p.String(), nil
	})
}

var token = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")

// method is a request method. CONNECT and TRACE never belong to a route.
func method() kind[string] {
	known := []string{"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"}
	return word("method", "methods", func(s string) (string, error) {
		switch upper := strings.ToUpper(s); {
		case !token.MatchString(s) || len(s) > 32:
			return "", bad("%q is not a method (RFC 9110 section 9.1)", s)
		case upper == "CONNECT" || upper == "TRACE":
			return "", bad("%s belongs to no route and cannot be used here", upper)
		case upper != s && slices.Contains(known, upper):
			return "", bad("%q is not a method: methods are case-sensitive", s).meant(upper)
		}
		return s, nil
	})
}

// headerName is the name of a response field that may be taken away.
func headerName() kind[string] {
	framing := []string{"connection", "content-length", "transfer-encoding", "trailer", "upgrade"}
	return word("field name", "field names", func(s string) (string, error) {
		switch lower := strings.ToLower(s); {
		case !token.MatchString(s) || len(s) > 256:
			return "", bad("%q is not a field name (RFC 9110 section 5.1)", s)
		case slices.Contains(framing, lower):
			return "", bad("%q belongs to the framing of the message and cannot be hidden", s)
		}
		return s, nil
	})
}

// statusCode is the status of a final response.
func statusCode() kind[int] {
	k := count(200, 599)
	k.plural = "status codes"
	return k
}

// urlPath is a path to ask a server for, with or without a query.
func urlPath() kind[string] {
	return word("path", "paths", func(s string) (string, error) {
		if !strings.HasPrefix(s, "/") {
			return "", bad("%q does not start with \"/\"", s).meant("/" + s)
		}
		return s, visible(s)
	})
}

// visible refuses what cannot stand in a request line.
func visible(s string) error {
	for _, r := range s {
		if r <= ' ' || r >= 0x7f {
			return bad("%q holds %q; write it percent-encoded", s, r)
		}
	}
	return nil
}

// alpn is the name of a protocol in TLS (RFC 7301): up to 255 bytes, here visible ones.
func alpn() kind[string] {
	return word("protocol", "protocols", func(s string) (string, error) {
		if s == "" || len(s) > 255 {
			return "", bad("%q: the name of a protocol has 1 to 255 bytes", s)
		}
		if err := visible(s); err != nil {
			return "", err
		}
		return s, nil
	})
}
