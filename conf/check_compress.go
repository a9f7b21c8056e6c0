package conf

import (
	"slices"
	"strings"
)

// compress refuses what could never come into effect.
func (ck *checker) compress(c *Compress) {
	ck.noTwins("algorithms", c.Algorithms)
	ck.noTwins("types", c.Types)
	if ck.failed(&c.Algorithms, c.Algorithms) {
		return
	}
	level := func(field *int, key, algorithm string) {
		if ck.has(field) && !slices.Contains(c.Algorithms, algorithm) {
			ck.add(ck.at(field), "", "%s: %q is not among the algorithms", key, algorithm)
		}
	}
	level(&c.GzipLevel, "gzip_level", "gzip")
	level(&c.BrLevel, "br_level", "br")
	level(&c.ZstdLevel, "zstd_level", "zstd")
}

// codedFields refuses to have a route say what a body is encoded with that it encodes itself.
func (ck *checker) codedFields(c *FieldChanges) {
	for _, list := range [][]FieldValue{c.Set, c.Add} {
		for i := range list {
			if name := &list[i].Name; strings.EqualFold(*name, "Content-Encoding") {
				ck.add(ck.at(name), "", "response_headers: %q is what compress sets on this route", *name)
			}
		}
	}
}

// noTwins checks that a list has nothing twice.
func (ck *checker) noTwins(key string, list []string) {
	seen := first{}
	for i := range list {
		if at := ck.at(&list[i]); list[i] != "" && ck.has(&list[i]) {
			if line := ck.again(seen, list[i], at); line > 0 {
				ck.add(at, "", "%s: %q is there already", key, list[i])
			}
		}
	}
}
