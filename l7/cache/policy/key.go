package policy

import (
	"bytes"
	"encoding/binary"
	"hash/fnv"
	"slices"
	"strings"

	"weir/l7/message"
)

// QueryParts says which parameters of a query belong to the key.
type QueryParts uint8

// The ways. The zero value takes the query as it is, to the octet; with the others, and
// where parameters are sorted, empty parameters do not count.
const (
	AllParams     QueryParts = iota
	OnlyParams               // those that Params names
	WithoutParams            // all but those that Params names
	NoParams                 // none: the query plays no part
)

// KeyParts is what of a request makes its key, beside scheme, host, port and path. The
// zero value adds the query. Whatever the key leaves out and the backend looks at lets
// one client decide what another one gets.
type KeyParts struct {
	// Space keeps routes apart that answer the same URL differently: a route is more than
	// host and path. It is the same for routes that may share what they store.
	Space string

	Query   QueryParts
	Params  []string // for OnlyParams and WithoutParams
	Sort    bool     // the order of parameters with different names does not matter
	Headers []string // fields of requests, in any case
	Cookies []string // cookies, to the letter
}

// KeyPolicy is KeyParts, compiled. It is only read and may be shared.
type KeyPolicy struct {
	parts  KeyParts
	prefix []byte
}

// NewKeyPolicy compiles the parts. Policies of different parts never make the same key,
// so that a reload with other parts does not find what the old ones stored.
func NewKeyPolicy(p KeyParts) *KeyPolicy {
	p.Params, p.Cookies = slices.Clone(p.Params), slices.Clone(p.Cookies)
	headers := make([]string, len(p.Headers))
	for i, name := range p.Headers {
		headers[i] = strings.ToLower(name)
	}
	p.Headers = headers
	k := &KeyPolicy{parts: p}
	k.prefix = appendPart([]byte{keyVersion}, []byte(p.Space))
	k.prefix = append(k.prefix, p.fingerprint()...)
	return k
}

// keyVersion is the first octet of a key: the class of methods, of which there is one,
// those that retrieve, and the form of what follows.
const keyVersion = 1

// fingerprint tells different parts, Space excepted, from each other.
func (p *KeyParts) fingerprint() []byte {
	if p.Query == AllParams && !p.Sort && len(p.Headers) == 0 && len(p.Cookies) == 0 {
		return []byte{0}
	}
	h := fnv.New64a()
	text := []byte{byte(p.Query), 0}
	if p.Sort {
		text[1] = 1
	}
	for _, list := range [][]string{p.Params, p.Headers, p.Cookies} {
		text = binary.AppendUvarint(text, uint64(len(list)))
		for _, s := range list {
			text = appendPart(text, []byte(s))
		}
	}
	_, _ = h.Write(text) // a hash takes everything
	return h.Sum([]byte{1})
}

// appendPart appends the length of b and b.
func appendPart(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

// endPart puts the length in front of what was appended since start, as appendPart does.
func endPart(dst []byte, start int) []byte {
	var buf [binary.MaxVarintLen64]byte
	n := binary.PutUvarint(buf[:], uint64(len(dst)-start))
	return slices.Insert(dst, start, buf[:n]...)
}

// AppendKey appends the key of what a GET with the target of req is answered with:
// scheme (http or https, of the client's connection or the absolute target), canonical
// host with its port, canonical path, the query and what else k names. It is the same
// for GET and HEAD, and for the other methods it is the key of what they invalidate.
//
// Each part has its length in front: two requests have the same key only if all of
// their parts are the same.
func AppendKey(dst []byte, k *KeyPolicy, scheme string, req *message.Request) []byte {
	return k.appendKey(dst, scheme, req, req.Match, req.Query, req.HasQuery)
}

func (k *KeyPolicy) appendKey(dst []byte, scheme string, req *message.Request, path, query []byte, has bool) []byte {
	dst = append(dst, k.prefix...)
	dst = append(dst, byte(len(scheme))) // http or https
	dst = append(dst, scheme...)
	start := len(dst)
	dst = endPart(AppendOrigin(dst, scheme, req), start)
	dst = appendPart(dst, path)
	dst = k.appendQuery(dst, query, has)
	for _, name := range k.parts.Headers {
		dst = appendVarying(dst, name, req.Fields)
	}
	for _, name := range k.parts.Cookies {
		dst = appendCookies(dst, name, req.Fields)
	}
	return dst
}

// AppendOrigin appends the host of a request and its port, where that is not the one of
// the scheme: the same octets for every way to write them.
func AppendOrigin(dst []byte, scheme string, req *message.Request) []byte {
	dst = append(dst, req.Host...)
	if port := portOf(req.Authority, scheme); len(port) > 0 {
		dst = append(append(dst, ':'), port...)
	}
	return dst
}

// portOf returns the port of an authority that the parser has accepted; nil for none
// and for that of the scheme.
func portOf(authority []byte, scheme string) []byte {
	i := bytes.LastIndexByte(authority, ':')
	if i < 0 || bytes.IndexByte(authority[i:], ']') >= 0 {
		return nil
	}
	port := authority[i+1:]
	for len(port) > 1 && port[0] == '0' {
		port = port[1:]
	}
	if scheme == "http" && string(port) == "80" || scheme == "https" && string(port) == "443" {
		return nil
	}
	return port
}

// appendCookies appends the values of the cookies with that name, in their order.
func appendCookies(dst []byte, name string, fields []message.Field) []byte {
	for i := range fields {
		if fields[i].Known != message.Cookie {
			continue
		}
		for rest, more := fields[i].Value, true; more; {
			var pair []byte
			pair, rest, more = cut(rest, ';')
			key, value, _ := cut(pair, '=')
			if string(trim(key)) == name {
				dst = appendPart(append(dst, 1), trim(value))
			}
		}
	}
	return append(dst, 0)
}
