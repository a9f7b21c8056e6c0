package policy

import "bytes"

// maxSorted bounds the parameters that are sorted; a query with more is taken in its
// own order, which costs hits and nothing else.
const maxSorted = 64

// appendQuery appends the part of the key that the query makes.
func (k *KeyPolicy) appendQuery(dst, query []byte, has bool) []byte {
	p := &k.parts
	switch {
	case p.Query == NoParams:
		return dst
	case p.Query == AllParams && !p.Sort:
		if !has {
			return append(dst, 0)
		}
		return appendPart(append(dst, 1), query)
	}
	var buf [maxSorted][]byte
	kept := buf[:0]
	start := len(dst)
	for rest, more := query, has; more; {
		var pair []byte
		pair, rest, more = cut(rest, '&')
		if len(pair) == 0 || !p.keeps(pair) {
			continue
		}
		if !p.Sort || len(kept) == maxSorted {
			dst = flushPairs(dst, start, kept)
			kept = kept[:0]
			dst = appendPair(dst, start, pair)
			continue
		}
		kept = insertPair(kept, pair)
	}
	dst = flushPairs(dst, start, kept)
	return endPart(dst, start)
}

func flushPairs(dst []byte, start int, pairs [][]byte) []byte {
	for _, pair := range pairs {
		dst = appendPair(dst, start, pair)
	}
	return dst
}

func appendPair(dst []byte, start int, pair []byte) []byte {
	if len(dst) > start {
		dst = append(dst, '&')
	}
	return append(dst, pair...)
}

// insertPair inserts a parameter behind those with a name that is not greater: the order
// of values of one name counts.
func insertPair(pairs [][]byte, pair []byte) [][]byte {
	name, _, _ := cut(pair, '=')
	i := len(pairs)
	for ; i > 0; i-- {
		if before, _, _ := cut(pairs[i-1], '='); bytes.Compare(before, name) <= 0 {
			break
		}
	}
	pairs = append(pairs, nil)
	copy(pairs[i+1:], pairs[i:])
	pairs[i] = pair
	return pairs
}

// keeps reports whether a parameter belongs to the key. In doubt it does: a parameter
// that the key leaves out and the backend reads is a way to poison the cache. So one
// that could be another spelling of a wanted name is kept, and only the very spelling
// of an unwanted one is dropped; and a semicolon, at which some backends cut, keeps
// the whole.
func (p *KeyParts) keeps(pair []byte) bool {
	if p.Query == AllParams || bytes.IndexByte(pair, ';') >= 0 {
		return true
	}
	name, _, _ := cut(pair, '=')
	for _, want := range p.Params {
		switch {
		case p.Query == WithoutParams && string(name) == want:
			return false
		case p.Query == OnlyParams && mayBe(name, want):
			return true
		}
	}
	return p.Query == WithoutParams
}

// mayBe reports whether a backend could take a parameter's name for want: with its
// escapes decoded, in any case, as an array (PHP's "want[]"), and with the characters
// that PHP turns into an underscore.
func mayBe(name []byte, want string) bool {
	i := 0
	for len(name) > 0 {
		c := name[0]
		n := 1
		if c == '%' {
			if len(name) < 3 {
				return true // broken escapes are read in many ways
			}
			hi, lo := unhex(name[1]), unhex(name[2])
			if hi < 0 || lo < 0 {
				return true
			}
			c, n = byte(hi<<4|lo), 3
		}
		if c == '[' || c == 0 {
			break
		}
		if c = foldParam(c); i == 0 && c == '_' && (len(want) == 0 || want[0] != '_') {
			name = name[n:] // PHP trims leading spaces
			continue
		}
		if i == len(want) || foldParam(want[i]) != c {
			return false
		}
		i++
		name = name[n:]
	}
	return i == len(want)
}

func foldParam(c byte) byte {
	switch c {
	case '.', ' ', '+':
		return '_'
	}
	return lower(c)
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= lower(c) && lower(c) <= 'f':
		return int(lower(c)-'a') + 10
	}
	return -1
}
