package conf

import (
	"errors"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// maxUnixPath is what sun_path holds beside its final NUL.
const maxUnixPath = 107

// listenAddr is where a listener binds: ":80", "127.0.0.1:80", "[::1]:80" or
// unix:PATH.
func listenAddr() kind[Addr] {
	return addrKind("127.0.0.1:", func(b *binder, s string) (Addr, error) {
		if p, ok := strings.CutPrefix(s, "unix:"); ok {
			return b.unix(p)
		}
		return parseListen(s)
	})
}

// udpScheme begins an address of UDP.
const udpScheme = "udp://"

// listenAddr4 is listenAddr, or "udp://" and an address to receive datagrams on.
func listenAddr4() kind[Addr] {
	return addrKind("127.0.0.1:", func(b *binder, s string) (Addr, error) {
		if p, ok := strings.CutPrefix(s, "unix:"); ok {
			return b.unix(p)
		}
		p, udp := strings.CutPrefix(s, udpScheme)
		a, err := parseListen(p)
		if udp {
			if f, ok := errors.AsType[*fault](err); ok && f.suggestion != "" {
				f.suggestion = strconv.Quote(udpScheme + strings.Trim(f.suggestion, `"`))
			}
			a.Network = "udp"
		}
		return a, err
	})
}

// serverAddr is where a server is: "host:port" with a DNS name or an IP
// address, or unix:PATH.
func serverAddr() kind[Addr] {
	return addrKind("127.0.0.1:", func(b *binder, s string) (Addr, error) {
		if p, ok := strings.CutPrefix(s, "unix:"); ok {
			return b.unix(p)
		}
		return parseServer(s)
	})
}

// resolverAddr is where a DNS server is: "IP:port", or an IP address alone for
// port 53.
func resolverAddr() kind[Addr] {
	return addrKind("", func(_ *binder, s string) (Addr, error) {
		if ip, err := netip.ParseAddr(s); err == nil {
			return Addr{Network: "tcp", Host: ip.Unmap().String(), Port: 53}, nil
		}
		a, err := parseServer(s)
		if err != nil {
			return Addr{}, err
		}
		if _, err := netip.ParseAddr(a.Host); err != nil {
			return Addr{}, bad("%q is not an IP address: a DNS server cannot be found by DNS", a.Host)
		}
		return a, nil
	})
}

// sourceIP is an address of this machine, without a port.
func sourceIP() kind[string] {
	return word("IP address", "IP addresses", func(s string) (string, error) {
		ip, err := netip.ParseAddr(s)
		switch {
		case err != nil:
			f := bad("%q is not an IP address", s)
			if host, _, err := net.SplitHostPort(s); err == nil {
				f = bad("%q has a port: expected an IP address alone", s).meant(host)
			}
			return "", f
		case ip.Zone() != "":
			return "", bad("%q has a zone, which is not supported", s)
		case ip.IsUnspecified() || ip.IsMulticast():
			return "", bad("%q is not an address to connect from", s)
		}
		return ip.Unmap().String(), nil
	})
}

// addrKind is an address in a string. Where a port alone is found, host is what
// was most likely meant before it; "" is no guess.
func addrKind(host string, parse func(*binder, string) (Addr, error)) kind[Addr] {
	return kind[Addr]{
		typ: "address", plural: "addresses",
		parse: func(b *binder, n *node) (Addr, error) {
			if n.form == formString {
				return parse(b, n.text)
			}
			f := notA("address", n)
			if n.form == formInteger && host != "" {
				f = f.meant(host + n.text)
			}
			return Addr{}, f
		},
		show: func(a Addr) any { return a.String() },
	}
}

// unix parses what follows "unix:".
func (b *binder) unix(p string) (Addr, error) {
	if !strings.HasPrefix(p, "@") {
		abs, err := b.path(p)
		if err != nil {
			return Addr{}, err
		}
		p = abs
	}
	if len(p) > maxUnixPath || p == "@" || strings.ContainsRune(p, 0) {
		return Addr{}, bad("%q cannot be a socket path: expected 1 to %d bytes", p, maxUnixPath)
	}
	return Addr{Network: "unix", Path: p}, nil
}

func parseListen(s string) (Addr, error) {
	if strings.HasPrefix(s, udpScheme) {
		return Addr{}, bad("%q: only an [[l4]] listens on UDP", s)
	}
	host, port, err := splitAddr(s)
	if err != nil {
		return Addr{}, err
	}
	a := Addr{Network: "tcp", Host: host, Port: port}
	if host == "" {
		return a, nil
	}
	if host == "*" {
		return Addr{}, bad("%q is not an IP address; leave the host out for every interface", host).
			meant(":" + strconv.Itoa(int(port)))
	}
	ip, err := netip.ParseAddr(host)
	switch {
	case err != nil && host == "localhost":
		a.Host = "127.0.0.1"
		return Addr{}, bad("%q is not an IP address: a listener needs one, or none for every interface", host).
			meant(a.String())
	case err != nil:
		return Addr{}, bad("%q is not an IP address: a listener needs one, or none for every interface", host)
	}
	a.Host = ip.Unmap().String()
	return a, nil
}

func parseServer(s string) (Addr, error) {
	for _, scheme := range []string{"http://", "tcp://", udpScheme} {
		if rest, ok := strings.CutPrefix(s, scheme); ok {
			rest, _, _ = strings.Cut(rest, "/")
			if _, _, err := splitAddr(rest); err != nil && scheme == "http://" {
				rest += ":80"
			}
			return Addr{}, bad("%q is a URL: expected \"host:port\" or \"unix:/path\"", s).meant(rest)
		}
	}
	if strings.Contains(s, "://") {
		return Addr{}, bad("%q is a URL: expected \"host:port\" or \"unix:/path\"", s)
	}
	if strings.HasPrefix(s, "/") {
		return Addr{}, bad("%q has no port: expected \"host:port\" or \"unix:/path\"", s).meant("unix:" + s)
	}
	host, port, err := splitAddr(s)
	if err != nil {
		return Addr{}, err
	}
	a := Addr{Network: "tcp", Port: port}
	switch ip, err := netip.ParseAddr(host); {
	case host == "":
		return Addr{}, bad("%q has no host: expected \"host:port\"", s).meant("127.0.0.1" + s)
	case port == 0:
		return Addr{}, bad("%q has port 0: expected 1 to 65535", s)
	case err == nil && ip.Zone() != "":
		return Addr{}, bad("%q has a zone, which is not supported", host)
	case err == nil && ip.IsUnspecified():
		a.Host = "127.0.0.1"
		return Addr{}, bad("%q is not an address to connect to", host).meant(a.String())
	case err == nil:
		a.Host = ip.Unmap().String()
		return a, nil
	case !isDNSName(host):
		return Addr{}, bad("%q is neither an IP address nor a DNS name", host)
	}
	a.Host = strings.ToLower(strings.TrimSuffix(host, "."))
	return a, nil
}

// splitAddr splits "host:port" and "[v6]:port".
func splitAddr(s string) (host string, port uint16, err error) {
	host, p, err := net.SplitHostPort(s)
	if err != nil {
		f := bad("cannot parse address %q: expected \"host:port\"", s)
		if ip, err := netip.ParseAddr(s); err == nil && ip.Is6() {
			return "", 0, bad("address %q has no port: expected \"[%s]:port\"", s, s)
		}
		if n, err := strconv.ParseUint(s, 10, 16); err == nil && n > 0 {
			f = f.meant(":" + s)
		} else if digits.MatchString(s) {
			f = bad("%q is not a port: expected 0 to 65535, as in \":8080\"", s)
		} else if !strings.Contains(s, ":") && s != "" {
			f = bad("address %q has no port: expected \"%s:port\"", s, s)
		}
		return "", 0, f
	}
	n, err := strconv.ParseUint(p, 10, 16)
	if err != nil || p[0] == '+' {
		return "", 0, bad("%q is not a port: expected 0 to 65535", p)
	}
	return host, uint16(n), nil
}

var (
	dnsLabel = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$`)
	digits   = regexp.MustCompile(`^[0-9]+$`)
)

// isDNSName reports whether s can be the name of a host, with or without a
// final dot. Names that end in a number are mistyped IPv4 addresses.
func isDNSName(s string) bool {
	s = strings.TrimSuffix(s, ".")
	if s == "" || len(s) > 253 {
		return false
	}
	last := ""
	for label := range strings.SplitSeq(s, ".") {
		if !dnsLabel.MatchString(label) {
			return false
		}
		last = label
	}
	return !digits.MatchString(last)
}
