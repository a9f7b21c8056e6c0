package engine

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"weir/conf"
	"weir/l4"
	"weir/l7"
	"weir/l7/message"
)

// target is an Ask in the form in which a client would send it.
type target struct {
	secure bool
	port   uint16
	given  bool       // the port is in the URL
	ip     netip.Addr // where the host is an address
	sni    string
	head   []byte
}

// parseTarget takes the URL apart by hand: what net/url would repair or refuse is for
// the proxy's own parser to see.
func parseTarget(ask *Ask) (*target, error) {
	t := &target{}
	scheme, rest, found := strings.Cut(ask.URL, "://")
	switch strings.ToLower(scheme) {
	case "https":
		t.secure, t.port = true, 443
	case "http":
		t.port = 80
	default:
		found = false
	}
	if !found {
		return nil, fmt.Errorf("cannot explain %q: %w", ask.URL, errNoHTTP)
	}
	authority, path := rest, ""
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	if err := t.parseAuthority(authority); err != nil {
		return nil, fmt.Errorf("cannot explain %q: %w", ask.URL, err)
	}
	var err error
	t.head, err = ask.head(authority, path)
	return t, err
}

func (t *target) parseAuthority(authority string) error {
	host, err := message.AppendHost(nil, []byte(authority))
	if e, ok := errors.AsType[*message.Error](err); ok {
		return errors.New(e.Text)
	}
	i := strings.LastIndexByte(authority, ':')
	if i >= 0 && !strings.Contains(authority[i:], "]") && i+1 < len(authority) {
		port, err := strconv.ParseUint(authority[i+1:], 10, 16)
		if err != nil {
			return fmt.Errorf("%q is not a port", authority[i+1:])
		}
		t.port, t.given = uint16(port), true
	}
	name := strings.Trim(string(host), "[]")
	if t.ip, err = netip.ParseAddr(name); err != nil && t.secure {
		t.sni = name // clients send none for an address (RFC 6066 section 3)
	}
	return nil
}

// head is the request's head as a client would send it.
func (a *Ask) head(authority, path string) ([]byte, error) {
	var b bytes.Buffer
	if a.Method == "CONNECT" {
		path = authority // RFC 9112 section 3.2.3
	}
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\n", a.Method, path)
	lines, hosted := len(a.Fields)+2, false
	for _, f := range a.Fields {
		name, _, ok := strings.Cut(f, ":")
		if !ok {
			return nil, fmt.Errorf("cannot use header %q: expected \"name: value\"", f)
		}
		hosted = hosted || strings.EqualFold(name, "host")
		b.WriteString(f + "\r\n")
	}
	if !hosted {
		lines++
		fmt.Fprintf(&b, "Host: %s\r\n", authority)
	}
	b.WriteString("\r\n")
	// A line break would begin another field, or the body.
	if bytes.Count(b.Bytes(), []byte{'\n'}) != lines || bytes.Count(b.Bytes(), []byte{'\r'}) != lines {
		return nil, errors.New("cannot use a request with a line break in it")
	}
	return b.Bytes(), nil
}

// arrive finds the listener that the connection reaches, and returns the name of the
// L7 listener that serves it, "" where none does.
func (e *Explanation) arrive(c *conf.Config, ask *Ask, t *target) (string, error) {
	l4Listener, name, err := findListener(c, ask.Through, t)
	if err != nil || l4Listener == nil {
		return name, err
	}
	first := t.head
	if t.secure {
		if first, err = clientHello(t.sni); err != nil {
			return "", err
		}
	}
	choice, err := l4.Explain(l4Listener, ask.From, first)
	if err != nil {
		return "", err
	}
	e.L4 = &PassThrough{
		Listener: l4Listener.Name, Route: choice.Route, L7: choice.L7, Pool: choice.Pool,
		Closed: choice.L7 == "" && choice.Pool == "",
	}
	return choice.L7, nil
}

// offer is one listener that may be meant.
type offer struct {
	name    string
	l4      *conf.L4
	l7      string // name to be served by
	secure  bool   // of an L7 listener
	address conf.Addr
}

// offers lists what listens by TCP, and the L7 listeners that only get connections.
func offers(c *conf.Config) []offer {
	var all []offer
	for i := range c.L4 {
		for _, a := range c.L4[i].Listen {
			if a.Network == "tcp" {
				all = append(all, offer{name: c.L4[i].Name, l4: &c.L4[i], address: a})
			}
		}
	}
	for i := range c.L7 {
		l := &c.L7[i]
		for _, a := range l.Listen {
			all = append(all, offer{name: l.Name, l7: l.Name, secure: l.TLS != nil, address: a})
		}
		for _, a := range l.Redirect {
			all = append(all, offer{name: l.Name, l7: l7.RedirectName(l.Name), address: a})
		}
		if len(l.Listen) == 0 {
			all = append(all, offer{name: l.Name, l7: l.Name, secure: l.TLS != nil})
		}
	}
	return all
}

// fits reports whether a client that uses the URL's scheme would be served.
func (o *offer) fits(t *target) bool { return o.l4 != nil || o.secure == t.secure }

// String names the offer for people.
func (o *offer) String() string {
	if o.address.IsZero() {
		return o.name + " by hand-over"
	}
	return o.name + " on " + o.address.String()
}

// at reports whether the URL leads to the address.
func (o *offer) at(t *target) bool {
	if o.address.Network != "tcp" || o.address.Port != t.port {
		return false
	}
	ip, err := netip.ParseAddr(o.address.Host)
	return err != nil || ip.IsUnspecified() || !t.ip.IsValid() || ip == t.ip
}

// findListener finds the listener by name, else by port and scheme. A URL without a
// port also means the only listener that fits its scheme, whatever its port.
func findListener(c *conf.Config, through string, t *target) (*conf.L4, string, error) {
	var exact, fitting []offer
	var have []string
	for _, o := range offers(c) {
		if through != "" && o.name != through {
			continue
		}
		have = append(have, o.String())
		if !o.fits(t) {
			continue
		}
		if o.at(t) {
			exact = append(exact, o)
		}
		if o.l4 == nil {
			fitting = append(fitting, o)
		}
	}
	list := exact
	if len(list) == 0 && (through != "" || !t.given) {
		list = fitting
	}
	one := func(o offer) bool { return o.name == list[0].name && o.l7 == list[0].l7 }
	scheme := map[bool]string{true: "https", false: "http"}[t.secure]
	switch {
	case through != "" && len(have) == 0:
		return nil, "", fmt.Errorf("cannot find a listener with the name %q", through)
	case len(list) == 0:
		return nil, "", fmt.Errorf(
			"cannot find a listener that serves %s on port %d; there are: %s (choose with --listener)",
			scheme, t.port, strings.Join(have, ", "))
	case !all(list, one):
		var names []string
		for _, o := range list {
			names = append(names, o.name)
		}
		return nil, "", fmt.Errorf(
			"cannot choose among the listeners %s: give one with --listener, or a port in the URL",
			strings.Join(names, ", "))
	}
	return list[0].l4, list[0].l7, nil
}

func all(list []offer, holds func(offer) bool) bool {
	for _, o := range list {
		if !holds(o) {
			return false
		}
	}
	return true
}

// clientHello is the first message of a TLS client that asks for the name and HTTP/1.
func clientHello(sni string) ([]byte, error) {
	rec := &recorder{}
	//nolint:gosec // nobody is connected to, and no certificate seen
	err := tls.Client(rec, &tls.Config{
		ServerName: sni, InsecureSkipVerify: true, NextProtos: []string{"http/1.1"},
	}).Handshake()
	if rec.Len() == 0 {
		return nil, fmt.Errorf("cannot make a TLS hello for %q: %w", sni, err)
	}
	return rec.Bytes(), nil
}

// recorder is a connection whose peer takes everything and says nothing.
type recorder struct{ bytes.Buffer }

func (*recorder) Read([]byte) (int, error)         { return 0, io.EOF }
func (*recorder) Close() error                     { return nil }
func (*recorder) LocalAddr() net.Addr              { return nil }
func (*recorder) RemoteAddr() net.Addr             { return nil }
func (*recorder) SetDeadline(time.Time) error      { return nil }
func (*recorder) SetReadDeadline(time.Time) error  { return nil }
func (*recorder) SetWriteDeadline(time.Time) error { return nil }
