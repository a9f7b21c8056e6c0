package sniff

// hello reads the body of a ClientHello (RFC 8446 section 4.1.2) into h.
func (r *reader) hello(h *Hello) bool {
	if !r.skip(helloFixedLen) || !r.skipVector(1) { // legacy_session_id
		return false
	}
	suites, ok := r.uint(2)
	if !ok || suites%2 != 0 || !r.skip(suites) || !r.skipVector(1) { // compression methods
		return false
	}
	if r.left == 0 { // no extensions at all: TLS 1.2 and older
		return true
	}
	outside, ok := r.enter(2)
	if !ok || outside != 0 {
		return false
	}
	return r.extensions(h)
}

// extensions reads all of them. Unknown types, GREASE among them (RFC 8701), are
// passed over; a second server_name or ALPN is an error (RFC 8446 section 4.2).
func (r *reader) extensions(h *Hello) bool {
	var seenName, seenALPN bool
	for r.left > 0 {
		kind, ok := r.uint(2)
		if !ok {
			return false
		}
		outside, ok := r.enter(2)
		if !ok {
			return false
		}
		switch kind {
		case extServerName:
			ok = !seenName && r.serverName(h)
			seenName = true
		case extALPN:
			ok = !seenALPN && r.alpnList(h)
			seenALPN = true
		default:
			h.ECH = h.ECH || kind == extECH
			ok = r.skip(r.left)
		}
		if !ok || !r.leave(outside) {
			return false
		}
	}
	return true
}

// serverName reads the server_name extension (RFC 6066 section 3): a list with at
// most one host_name. Other types of name are passed over.
func (r *reader) serverName(h *Hello) bool {
	outside, ok := r.enter(2)
	if !ok || outside != 0 || r.left == 0 {
		return false
	}
	found := false
	for r.left > 0 {
		kind, ok := r.uint(1)
		if !ok {
			return false
		}
		n, ok := r.uint(2)
		if !ok || n == 0 {
			return false
		}
		if kind != nameTypeHostName {
			if !r.skip(n) {
				return false
			}
			continue
		}
		if found || !r.hostName(h, n) {
			return false
		}
		found = true
	}
	return true
}

// hostName reads a name of n bytes into h, in lower case and without a final dot.
func (r *reader) hostName(h *Hello, n int) bool {
	var buf [MaxName + 1]byte // one more for the final dot
	if n > len(buf) || !r.copy(buf[:n]) {
		return false
	}
	name := buf[:n]
	if name[n-1] == '.' {
		name = name[:n-1]
	}
	if !lowerDNSName(name) {
		return false
	}
	h.nameLen = copy(h.name[:], name)
	return true
}

// lowerDNSName lower-cases name in place and reports whether it is a DNS name:
// labels of 1 to 63 letters, digits, hyphens and underscores, 253 bytes in all.
// Where hyphens stand is not judged, since such names are in use.
func lowerDNSName(name []byte) bool {
	if len(name) == 0 || len(name) > MaxName {
		return false
	}
	label := 0
	for i, c := range name {
		switch {
		case c == '.':
			if label == 0 {
				return false
			}
			label = 0
			continue
		case 'A' <= c && c <= 'Z':
			name[i] = c | 0x20
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return false
		}
		if label++; label > 63 {
			return false
		}
	}
	return label > 0
}

// alpnList reads the ALPN extension (RFC 7301 section 3.1): names of 1 to 255
// bytes. Names that do not fit into h are checked and left out.
func (r *reader) alpnList(h *Hello) bool {
	outside, ok := r.enter(2)
	if !ok || outside != 0 || r.left == 0 {
		return false
	}
	for r.left > 0 {
		n, ok := r.uint(1)
		if !ok || n == 0 || n > r.left {
			return false
		}
		if h.ALPNCut = h.ALPNCut || h.alpnLen+1+n > MaxALPN; h.ALPNCut {
			r.skip(n)
			continue
		}
		h.alpn[h.alpnLen] = byte(n)
		r.copy(h.alpn[h.alpnLen+1 : h.alpnLen+1+n])
		h.alpnLen += 1 + n
	}
	return true
}
