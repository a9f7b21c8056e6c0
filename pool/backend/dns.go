package backend

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"weir/conf"
)

// The bounds of a lookup. hostsTTL is how long an answer of /etc/hosts stands;
// lookupTimeouts is how many times the timeout of one server a lookup may take.
const (
	maxLookups     = 32
	lookupTimeouts = 3
	lookupRounds   = 2 // times that each server is asked
	hostsTTL       = 5 * time.Second
)

// The values for what the configuration leaves at zero.
const (
	defaultDNSTimeout = 2 * time.Second
	defaultMinTTL     = time.Second
	defaultMaxTTL     = 5 * time.Minute
)

var (
	errNoAddress  = errors.New("the name has no address")
	errDNSTimeout = errors.New("no name server answered in time")
)

// answer is what a name stands for.
type answer struct {
	addrs []netip.Addr // at least one, no duplicates
	ttl   time.Duration
	lost4 bool // the question for IPv4 addresses failed
	lost6 bool // the question for IPv6 addresses failed
}

// lost reports whether ip may be missing only because a question failed.
func (a *answer) lost(ip netip.Addr) bool {
	if ip.Is4() {
		return a.lost4
	}
	return a.lost6
}

// resolver looks names up as the system does, but tells how long the answer
// holds: /etc/hosts first, then the DNS servers for A and AAAA. It is used by many
// goroutines at once.
type resolver struct {
	conf   conf.DNS
	hosts  *watchedFile[hostsFile]
	resolv *watchedFile[resolvConf]
}

func newResolver(c conf.DNS) *resolver {
	if c.Timeout <= 0 {
		c.Timeout = defaultDNSTimeout
	}
	if c.MinTTL <= 0 {
		c.MinTTL = defaultMinTTL
	}
	if c.MaxTTL <= 0 {
		c.MaxTTL = defaultMaxTTL
	}
	c.MaxTTL = max(c.MaxTTL, c.MinTTL)
	return &resolver{
		conf:   c,
		hosts:  &watchedFile[hostsFile]{path: "/etc/hosts", parse: parseHosts},
		resolv: &watchedFile[resolvConf]{path: "/etc/resolv.conf", parse: parseResolvConf},
	}
}

// lookup finds the addresses of host, a name in lower case. errNoAddress is the
// answer that there are none; any other error means that none could be had.
func (r *resolver) lookup(ctx context.Context, host string) (answer, error) {
	bare := strings.TrimSuffix(host, ".")
	if addrs := r.hosts.get()[bare]; len(addrs) > 0 {
		return r.local(addrs), nil
	}
	if bare == "localhost" || strings.HasSuffix(bare, ".localhost") {
		// RFC 6761, section 6.3: it never leaves the machine.
		return r.local([]netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}), nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeouts*r.conf.Timeout)
	defer cancel()
	servers, names := r.plan(host)
	for _, name := range names {
		a, err := r.lookupBoth(ctx, servers, name)
		if !errors.Is(err, errNoAddress) {
			// Where a server fails, going on to the next name of the search list
			// could find another host than the one that is meant.
			return a, err
		}
	}
	return answer{}, errNoAddress
}

func (r *resolver) local(addrs []netip.Addr) answer {
	return answer{addrs: routable(addrs), ttl: r.clamp(hostsTTL)}
}

func (r *resolver) clamp(ttl time.Duration) time.Duration {
	return min(max(ttl, r.conf.MinTTL), r.conf.MaxTTL)
}

// plan says which servers to ask and for which names, in order. Servers named in
// the configuration are asked for the name as it is; those of /etc/resolv.conf
// come with its search list.
func (r *resolver) plan(host string) (servers []netip.AddrPort, names []string) {
	system := r.resolv.get()
	for _, s := range r.conf.Servers {
		if ip, err := netip.ParseAddr(s.Host); err == nil {
			port := s.Port
			if port == 0 {
				port = dnsPort
			}
			servers = append(servers, netip.AddrPortFrom(ip, port))
		}
	}
	if len(servers) > 0 {
		return servers, []string{absolute(host)}
	}
	servers = system.servers
	if len(servers) == 0 {
		servers = []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), dnsPort)}
	}
	return servers, system.names(host)
}

func absolute(name string) string {
	if strings.HasSuffix(name, ".") {
		return name
	}
	return name + "."
}

// lookupBoth asks for the IPv4 and the IPv6 addresses of one absolute name.
func (r *resolver) lookupBoth(ctx context.Context, servers []netip.AddrPort, name string) (answer, error) {
	qname, err := dnsmessage.NewName(name)
	if err != nil || !validName(name) {
		return answer{}, fmt.Errorf("%w: %q is not a host name", errNoAddress, name)
	}
	type result struct {
		reply
		err error
	}
	ask := func(t dnsmessage.Type) <-chan result {
		c := make(chan result, 1)
		q := dnsmessage.Question{Name: qname, Type: t, Class: dnsmessage.ClassINET}
		go func() {
			res := result{err: errPanicked}
			defer func() {
				_ = recover() // the answer is errPanicked then
				c <- res
			}()
			res.reply, res.err = r.ask(ctx, servers, q)
		}()
		return c
	}
	four, six := ask(dnsmessage.TypeA), ask(dnsmessage.TypeAAAA)
	r4, r6 := <-four, <-six
	addrs := append(r4.addrs, r6.addrs...)
	slices.SortFunc(addrs, netip.Addr.Compare)
	addrs = slices.Compact(addrs)
	if len(addrs) == 0 {
		if err := cmp.Or(r4.err, r6.err); err != nil {
			return answer{}, err
		}
		return answer{}, errNoAddress
	}
	ttl := r.conf.MaxTTL
	for _, res := range []result{r4, r6} {
		if len(res.addrs) > 0 {
			ttl = min(ttl, time.Duration(res.ttl)*time.Second)
		}
	}
	return answer{
		addrs: routable(addrs), ttl: r.clamp(ttl), lost4: r4.err != nil, lost6: r6.err != nil,
	}, nil
}

// ask asks the servers one after the other, in two rounds, until one answers the
// question: with addresses, or that there are none.
func (r *resolver) ask(ctx context.Context, servers []netip.AddrPort, q dnsmessage.Question) (reply, error) {
	var last error
	for range lookupRounds {
		for _, server := range servers {
			rep, err := askServer(ctx, server, q, r.conf.Timeout)
			if err == nil {
				return rep, nil
			}
			if ctx.Err() != nil {
				return reply{}, fmt.Errorf("%w: %w", errDNSTimeout, cmp.Or(last, err))
			}
			last = fmt.Errorf("name server %s: %w", server, err)
		}
	}
	return reply{}, last
}

// validName reports whether an absolute name can be asked for: labels of 1 to 63
// bytes, 254 in all.
func validName(name string) bool {
	if len(name) > 254 || name == "." {
		return false
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
		if label == "" || len(label) > 63 {
			return false
		}
	}
	return true
}

// routable leaves out addresses that this machine has no way to, as IPv6 where it
// has none, unless nothing else is left. Connecting a UDP socket asks the kernel
// and sends nothing.
func routable(addrs []netip.Addr) []netip.Addr {
	if len(addrs) < 2 {
		return addrs
	}
	kept := make([]netip.Addr, 0, len(addrs))
	for _, a := range addrs {
		conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, dnsPort)))
		if err != nil {
			continue
		}
		_ = conn.Close()
		kept = append(kept, a)
	}
	if len(kept) == 0 {
		return addrs
	}
	return kept
}
