package l4

import "weir/l4/sniff"

// maxOffers bounds the lists of protocols that a loop remembers. Clients are of few kinds.
const maxOffers = 64

// offers are the lists of protocols that clients of a loop offered by ALPN, so that
// naming one for the access log allocates only the first time.
type offers struct {
	known map[string]string
	text  [sniff.MaxALPN]byte
}

// of names what hello offers, with commas: "h2,http/1.1". It is "" where it offers nothing.
func (o *offers) of(hello *sniff.Hello) string {
	text := o.text[:0]
	for protocol := range hello.ALPN {
		if len(text) > 0 {
			text = append(text, ',')
		}
		text = append(text, protocol...) // never more than the list, which has a length for each comma
	}
	if name, ok := o.known[string(text)]; ok {
		return name
	}
	name := string(text)
	if o.known == nil {
		o.known = make(map[string]string)
	}
	if len(o.known) < maxOffers {
		o.known[name] = name
	}
	return name
}

// offered is of for a session that begins with hello, where it is for the log.
func (sh *shard) offered(hello *sniff.Hello) string {
	if !sh.server.access.Enabled() {
		return ""
	}
	return sh.offers.of(hello)
}
