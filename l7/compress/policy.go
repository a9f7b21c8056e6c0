package compress

import (
	"bytes"

	"weir/conf"
	"weir/l7/message"
)

// Policy is the rules of one route. It is immutable and may be shared.
type Policy struct {
	prefer    []Coding // the preferred first
	types     types
	minSize   int64
	setCookie bool
	crossSite bool
	levels    [numCodings]int

	dictionary *Pattern // nil: none are made nor used
}

// New makes the policy of a route.
func New(c *conf.Compress) *Policy {
	p := &Policy{
		types: newTypes(c.Types), minSize: int64(c.MinSize), setCookie: c.SetCookie, crossSite: c.CrossSite,
	}
	for _, name := range c.Algorithms {
		if coding := codingNamed(name); coding != Identity {
			p.prefer = append(p.prefer, coding)
		}
	}
	p.levels = [numCodings]int{
		Gzip: c.GzipLevel, Brotli: c.BrLevel, Zstd: c.ZstdLevel, DCB: c.BrLevel, DCZ: c.ZstdLevel,
	}
	if c.Dictionary != "" {
		pattern := NewPattern(c.Dictionary)
		p.dictionary = &pattern
	}
	return p
}

// Codings returns the codings of the route, the preferred first. The caller must not write
// to them.
func (p *Policy) Codings() []Coding { return p.prefer }

// Verdict is what becomes of one response.
type Verdict struct {
	Coding Coding // Identity: it is sent as it is, because of Reason
	Reason Reason
	// Varies says that another request could have got another coding: the response
	// must name Accept-Encoding in Vary, encoded or not (RFC 9110 section 12.5.5).
	Varies bool
}

// Judge decides about a response. The result for HEAD is that for GET. It allocates
// nothing and only reads. dictionary says that there is one that the client has too.
func (p *Policy) Judge(req *message.Request, res *message.Response, dictionary bool) Verdict {
	if why := p.judgeResponse(res); why != Encoded {
		return Verdict{Reason: why}
	}
	if p.isSmall(res) && !forbidsIdentity(req) {
		return Verdict{Reason: Small}
	}
	c, why := p.JudgeRequest(req, dictionary && mayUseDictionary(req.Fields, res.Fields))
	return Verdict{Coding: c, Reason: why, Varies: true}
}

// MayVary reports whether a response of a media type may get another coding for another
// request; nil stands for a type that is not known. A 304 has to name in Vary what the
// whole response would (RFC 9110 section 15.4.5).
func (p *Policy) MayVary(typ []byte) bool { return typ == nil || p.types.has(typ) }

// isSmall reports whether the response is known to be shorter than is worth it. A small
// one is encoded only for a client that refuses identity, and no Vary tells of that:
// there is none in practice, and caches keep one copy for all others.
func (p *Policy) isSmall(res *message.Response) bool {
	return res.ContentLength >= 0 && res.ContentLength < p.minSize
}

// JudgeRequest is the part of Judge that looks at the request alone: the coding that
// a fit response gets, or Identity and why.
func (p *Policy) JudgeRequest(req *message.Request, dictionary bool) (Coding, Reason) {
	c := p.negotiate(req.Fields, dictionary)
	switch {
	case c == Identity:
		return c, NotAccepted
	case req.Minor == 0:
		// Without chunked framing the end of the connection would be the end of the
		// body, and a cut response would look whole.
		return Identity, Old
	case req.Has(message.Range):
		// The client counts octets of the response as it is.
		return Identity, Ranged
	case req.Has(message.CacheControl) && hasDirective(req.Fields, "no-transform"):
		return Identity, NoTransform
	case !p.crossSite && req.Has(message.Cookie) && isCrossSite(req.Fields):
		return Identity, CrossSite
	}
	return c, Encoded
}

// negotiate chooses the coding with the highest weight, of those with the same weight
// the one that comes first in the policy. Identity is chosen where the client gives it
// more than any of them, or accepts none. With a dictionary a coding is preferred to the
// others of the same weight.
func (p *Policy) negotiate(fields []message.Field, dictionary bool) Coding {
	best, chosen := 0, Identity
	if dictionary {
		for _, c := range p.prefer {
			with := withDictionary[c]
			if with == Identity {
				continue
			}
			if w, _ := message.CodingWeight(fields, names[with]); w > best {
				best, chosen = w, with
			}
		}
	}
	for _, c := range p.prefer {
		if w, _ := message.CodingWeight(fields, names[c]); w > best {
			best, chosen = w, c
		}
	}
	if w, named := message.CodingWeight(fields, names[Identity]); named && w > best {
		return Identity
	}
	return chosen
}

// withDictionary are the codings that use a dictionary, by those that do not.
var withDictionary = [numCodings]Coding{Brotli: DCB, Zstd: DCZ}

// Dictionary returns the pattern of the paths whose responses are dictionaries for each
// other, nil where none are.
func (p *Policy) Dictionary() *Pattern { return p.dictionary }

// Collects reports whether a response is to become a dictionary: a whole one to GET that
// the client keeps, as it came from the server, for a path that matches, and that is not
// meant for one user.
func (p *Policy) Collects(req *message.Request, res *message.Response) bool {
	return p.dictionary != nil && res.Status == 200 && string(req.Method) == "GET" &&
		res.ContentLength <= MaxDictionary && p.judgeResponse(res) == Encoded && p.dictionary.Matches(req.Path) &&
		isShared(req, res)
}

// forbidsIdentity reports whether the client refuses what is not encoded.
func forbidsIdentity(req *message.Request) bool {
	w, named := message.CodingWeight(req.Fields, names[Identity])
	return named && w == 0
}

// judgeResponse looks at the head of the response alone.
func (p *Policy) judgeResponse(res *message.Response) Reason {
	switch {
	case res.Status < 200 || res.Status == 204 || res.Status == 205 || res.Status == 304:
		return NoBody
	case res.Status == 206 || res.Has(message.ContentRange):
		return Partial
	case res.Has(message.ContentEncoding) && isCoded(res.Fields):
		return Coded
	case res.Has(message.CacheControl) && hasDirective(res.Fields, "no-transform"):
		return NoTransform
	case !p.types.has(res.Get(message.ContentType)):
		return Type
	case !p.setCookie && res.Has(message.SetCookie):
		return SetsCookie
	}
	return Encoded
}

// isCoded reports whether Content-Encoding names anything but identity, which some
// servers write although it says nothing (RFC 9110 section 8.4.1).
func isCoded(fields []message.Field) bool {
	for i := range fields {
		if f := &fields[i]; f.Known == message.ContentEncoding && !message.EqualFold(f.Value, "identity") {
			return true
		}
	}
	return false
}

// hasDirective reports whether the Cache-Control fields have a directive, a lower-case
// name. What stands in a quoted string is no directive.
func hasDirective(fields []message.Field, name string) bool {
	for i := range fields {
		if fields[i].Known != message.CacheControl {
			continue
		}
		for v := fields[i].Value; len(v) > 0; {
			end, quoted := 0, false
			for ; end < len(v) && (quoted || v[end] != ','); end++ {
				switch {
				case v[end] == '"':
					quoted = !quoted
				case quoted && v[end] == '\\':
					end++
				}
			}
			end = min(end, len(v))
			directive, _, _ := bytes.Cut(v[:end], []byte{'='})
			if message.EqualFold(bytes.TrimSpace(directive), name) {
				return true
			}
			v = v[min(end+1, len(v)):]
		}
	}
	return false
}

// isCrossSite reports whether a browser says that another site caused the request
// (Fetch Metadata, Sec-Fetch-Site).
func isCrossSite(fields []message.Field) bool {
	for i := range fields {
		f := &fields[i]
		if f.Known == message.Unknown && message.EqualFold(f.Name, "sec-fetch-site") {
			return message.EqualFold(f.Value, "cross-site")
		}
	}
	return false
}

// Level returns the level of a coding, lowered by so many steps of a Governor, but not
// below the cheapest.
func (p *Policy) Level(c Coding, steps int) int {
	return max(p.levels[c]-steps, min(p.levels[c], cheapest[c]))
}
