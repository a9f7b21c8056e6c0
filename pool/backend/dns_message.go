package backend

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// The bounds of an answer. maxAddrs is how many servers a name can stand for.
const (
	maxAddrs   = 64
	maxRecords = 2 * maxAddrs // of the answer section; later ones are not looked at
	maxChain   = 8            // CNAME records on the way to an address
)

var (
	errNotOurs = errors.New("not an answer to the question")
	errNoEDNS  = errors.New("the server does not understand the question")
)

// reply is what a server says to one question. No addresses, and not truncated,
// means that the name has none.
type reply struct {
	truncated bool
	addrs     []netip.Addr
	ttl       uint32 // seconds, the shortest of the records that count
}

// appendQuery appends a question, with recursion desired.
func appendQuery(b []byte, id uint16, q dnsmessage.Question, edns bool) ([]byte, error) {
	m := dnsmessage.NewBuilder(b, dnsmessage.Header{ID: id, RecursionDesired: true})
	err := m.StartQuestions()
	if err == nil {
		err = m.Question(q)
	}
	if err == nil && edns {
		var h dnsmessage.ResourceHeader
		if err = m.StartAdditionals(); err == nil {
			err = h.SetEDNS0(udpPayload, dnsmessage.RCodeSuccess, false)
		}
		if err == nil {
			err = m.OPTResource(h, dnsmessage.OPTResource{})
		}
	}
	if err != nil {
		return nil, fmt.Errorf("cannot make a DNS question for %q: %w", q.Name, err)
	}
	return m.Finish()
}

// parseReply reads the answer to q that was sent with id. errNotOurs means that the
// message belongs to something else and the answer may still come. That a name has
// no address, or does not exist, is not an error.
func parseReply(msg []byte, id uint16, q dnsmessage.Question) (reply, error) {
	var p dnsmessage.Parser
	h, err := p.Start(msg)
	if err != nil || h.ID != id || !h.Response {
		return reply{}, errNotOurs
	}
	if h.RCode == dnsmessage.RCodeFormatError || h.RCode == dnsmessage.RCodeNotImplemented {
		return reply{}, errNoEDNS // such servers may even leave out the question
	}
	got, err := p.Question()
	if err != nil || got.Type != q.Type || got.Class != q.Class || !sameName(got.Name, q.Name) {
		return reply{}, errNotOurs
	}
	switch {
	case h.RCode == dnsmessage.RCodeNameError:
		return reply{}, nil
	case h.RCode != dnsmessage.RCodeSuccess:
		return reply{}, fmt.Errorf("the server answers %s", strings.TrimPrefix(h.RCode.String(), "RCode"))
	case h.Truncated:
		return reply{truncated: true}, nil
	}
	if err := p.SkipAllQuestions(); err != nil {
		return reply{}, fmt.Errorf("cannot read a DNS answer: %w", err)
	}
	list, err := parseRecords(&p, q.Type)
	if err != nil {
		return reply{}, fmt.Errorf("cannot read a DNS answer: %w", err)
	}
	return list.resolve(lowerName(q.Name))
}

// record is an address or an alias that a server says owner has.
type record struct {
	owner string
	alias string // of a CNAME; else ""
	addr  netip.Addr
	ttl   uint32
}

type recordList []record

// parseRecords reads the answer section, as far as it is about aliases and
// addresses of type t.
func parseRecords(p *dnsmessage.Parser, t dnsmessage.Type) (recordList, error) {
	var list recordList
	for range maxRecords {
		h, err := p.AnswerHeader()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			break
		}
		if err != nil {
			return nil, err
		}
		r := record{owner: lowerName(h.Name), ttl: h.TTL}
		if r.ttl > 1<<31-1 {
			r.ttl = 0 // RFC 2181, section 8
		}
		switch {
		case h.Class != dnsmessage.ClassINET:
			err = p.SkipAnswer()
			r.owner = ""
		case h.Type == dnsmessage.TypeCNAME:
			var c dnsmessage.CNAMEResource
			c, err = p.CNAMEResource()
			r.alias = lowerName(c.CNAME)
		case h.Type == t && t == dnsmessage.TypeA:
			var a dnsmessage.AResource
			a, err = p.AResource()
			r.addr = netip.AddrFrom4(a.A)
		case h.Type == t && t == dnsmessage.TypeAAAA:
			var a dnsmessage.AAAAResource
			a, err = p.AAAAResource()
			r.addr = netip.AddrFrom16(a.AAAA).Unmap()
		default:
			err = p.SkipAnswer()
			r.owner = ""
		}
		if err != nil {
			return nil, err
		}
		if r.owner != "" && (r.alias != "" || usableAddr(r.addr)) {
			list = append(list, r)
		}
	}
	return list, nil
}

// usableAddr refuses what cannot be a server: connecting to 0.0.0.0 or :: would
// reach this machine, which is not what a name that someone blanked means.
func usableAddr(a netip.Addr) bool {
	return !a.IsUnspecified() && !a.IsMulticast() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// resolve follows the aliases from name to addresses.
func (list recordList) resolve(name string) (reply, error) {
	rep := reply{ttl: 1<<31 - 1}
	seen := make([]string, 0, maxChain+1)
	for {
		for i := range list {
			if r := &list[i]; r.owner == name && r.alias == "" && len(rep.addrs) < maxAddrs {
				rep.addrs = append(rep.addrs, r.addr)
				rep.ttl = min(rep.ttl, r.ttl)
			}
		}
		if len(rep.addrs) > 0 {
			return rep, nil
		}
		next := list.alias(name)
		if next == nil {
			return reply{}, nil
		}
		seen = append(seen, name)
		if slices.Contains(seen, next.alias) {
			return reply{}, fmt.Errorf("the CNAME records of %q go in a circle", name)
		}
		if len(seen) > maxChain {
			return reply{}, fmt.Errorf("more than %d CNAME records lead to %q", maxChain, next.alias)
		}
		rep.ttl = min(rep.ttl, next.ttl)
		name = next.alias
	}
}

// alias finds the CNAME record of name.
func (list recordList) alias(name string) *record {
	for i := range list {
		if r := &list[i]; r.owner == name && r.alias != "" {
			return r
		}
	}
	return nil
}

func lowerName(n dnsmessage.Name) string { return strings.ToLower(n.String()) }

func sameName(a, b dnsmessage.Name) bool { return strings.EqualFold(a.String(), b.String()) }
