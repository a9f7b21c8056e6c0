package backend

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"time"

	"weir/conf"
)

// maxLookups is how many names are looked up at once.
const maxLookups = 32

// answer is what a name stands for.
type answer struct {
	addrs []netip.Addr // no duplicates
	ttl   time.Duration
	lost4 bool // the question for IPv4 addresses failed
	lost6 bool // the question for IPv6 addresses failed
}

// lost reports whether a may be missing only because a question failed.
func (a *answer) lost(ip netip.Addr) bool {
	if ip.Is4() {
		return a.lost4
	}
	return a.lost6
}

var (
	errNoAddress  = errors.New("the name has no address")
	errDNSTimeout = errors.New("no name server answered in time")
)

type resolver struct {
	conf conf.DNS
}

func newResolver(c conf.DNS) *resolver { return &resolver{conf: c} }

func (r *resolver) lookup(ctx context.Context, host string) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, max(r.conf.Timeout, time.Second))
	defer cancel()
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return answer{}, err
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	return answer{addrs: slices.Compact(addrs), ttl: 5 * time.Second}, nil
}
