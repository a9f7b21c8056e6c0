package l7

import (
	"strings"
	"time"

	"weir/conf"
	"weir/l7/message"
	"weir/l7/route"
	"weir/pool/backend"
)

// hashKey is what of a request chooses the server, where its pool has balance =
// "hash" or "source_hash". The zero hashKey is nothing: the balancer does not ask.
type hashKey struct {
	counts bool   // the balancer goes by it
	of     string // as conf.HashBy; "": the client's address
	name   string // of a field in lower case
	known  message.ID
}

func newHashKey(p *conf.Pool) hashKey {
	k := hashKey{of: p.HashBy.Of, name: p.HashBy.Name, counts: p.Balance == "hash" || p.Balance == "source_hash"}
	if k.of == "header" {
		k.known = message.Lookup([]byte(k.name))
		k.name = strings.ToLower(k.name)
	}
	return k
}

// hash is the hash of what k looks at, and says whether the request has it. One that
// has not goes by the client's address, also where trusted proxies are in between.
func (x *exchange) hash(k *hashKey) (hash uint64, has bool) {
	if !k.counts {
		return 0, false
	}
	var value []byte
	switch k.of {
	case "path":
		value, has = x.req.Match, true
	case "header":
		value, has = route.Field(&x.lookup, k.name, k.known)
	case "cookie":
		value, has = route.Cookie(&x.lookup, k.name)
	}
	if !has {
		return backend.HashAddr(x.behind()), false
	}
	return backend.HashBytes(value), true
}

// timing is the time an attempt begins, where its pool wants to know how long it
// takes. A body that comes while it is sent takes the time of the client, so such
// requests say nothing of the server.
func (x *exchange) timing() time.Time {
	if !x.route.group.Timed() || x.req.HasBody() && !x.whole && x.req.ContentLength != int64(len(x.first)) {
		return time.Time{}
	}
	return time.Now()
}

// observe tells the member how long it took to answer an attempt that began so. Where a
// hedge has won, that is how long it had not answered: less than the truth, but a server
// that is only ever overtaken must not pass for a quick one.
func observe(m *backend.Member, began time.Time) {
	if !began.IsZero() {
		m.Observe(time.Since(began))
	}
}
