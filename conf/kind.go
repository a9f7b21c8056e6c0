package conf

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// kind turns one TOML value into a V.
type kind[V any] struct {
	typ    string // "duration"
	plural string // "durations"; needed only where arrays of it exist
	limits string
	secret bool // never quoted
	parse  func(b *binder, n *node) (V, error)
	show   func(V) any
}

// text is a kind written as a string.
func text[V any](typ, plural string, parse func(s string) (V, error), show func(V) any) kind[V] {
	return kind[V]{
		typ: typ, plural: plural, show: show,
		parse: func(_ *binder, n *node) (V, error) {
			if n.form != formString {
				var zero V
				return zero, notA(typ, n)
			}
			return parse(n.text)
		},
	}
}

// word is a string that is kept as it is, or in a normal form of itself.
func word(typ, plural string, parse func(s string) (string, error)) kind[string] {
	return text(typ, plural, parse, asIs)
}

// notA is the fault of a value that has the wrong TOML type for a kind that is
// written as a string.
func notA(typ string, n *node) *fault {
	if typ == "string" {
		return bad("expected a string, got %s", n.form)
	}
	return bad("expected a string (%s), got %s", typ, n.form)
}

func asIs(s string) any { return s }

// between checks that v is within [lo, hi].
func between[V cmp.Ordered](v, lo, hi V, format func(V) string) error {
	switch {
	case v < lo:
		return bad("%s is below the minimum %s", format(v), format(lo))
	case v > hi:
		return bad("%s is above the maximum %s", format(v), format(hi))
	}
	return nil
}

// count is an integer within [lo, hi].
func count(lo, hi int) kind[int] {
	return kind[int]{
		typ: "integer", plural: "integers", limits: fmt.Sprintf("%d to %d", lo, hi),
		parse: func(_ *binder, n *node) (int, error) {
			v, err := integer(n)
			if err != nil {
				return 0, err
			}
			return v, between(v, lo, hi, strconv.Itoa)
		},
		show: func(v int) any { return v },
	}
}

func integer(n *node) (int, error) {
	if n.form != formInteger {
		f := bad("expected an integer, got %s", n.form)
		if v, err := strconv.Atoi(n.text); err == nil && n.form == formString {
			f.suggestion = strconv.Itoa(v)
		}
		return 0, f
	}
	// TOML has checked where the underscores are.
	v, err := strconv.ParseInt(strings.ReplaceAll(n.text, "_", ""), 0, 64)
	if err != nil {
		return 0, bad("%s is more than 64 bits can hold", n.text)
	}
	return int(v), nil
}

// port is a TCP port; 0 is not one.
func port() kind[uint16] {
	k := count(1, 65535)
	return kind[uint16]{
		typ: k.typ, limits: k.limits,
		parse: func(b *binder, n *node) (uint16, error) {
			v, err := k.parse(b, n)
			return uint16(v), err //nolint:gosec // count has checked the range
		},
		show: func(v uint16) any { return v },
	}
}

// boolean is true or false.
func boolean() kind[bool] {
	return kind[bool]{
		typ: "boolean", limits: "true, false",
		parse: func(_ *binder, n *node) (bool, error) {
			if n.form == formBool {
				return n.text == "true", nil
			}
			f := bad("expected true or false, got %s", n.form)
			switch strings.ToLower(n.text) {
			case "true", "yes", "on", "1":
				f.suggestion = "true"
			case "false", "no", "off", "0":
				f.suggestion = "false"
			}
			return false, f
		},
		show: func(v bool) any { return v },
	}
}

// duration is a string such as "2s" within [lo, hi].
func duration(lo, hi time.Duration) kind[time.Duration] {
	k := text("duration", "durations",
		func(s string) (time.Duration, error) {
			d, err := parseDuration(s)
			if err != nil {
				return 0, err
			}
			return d, between(d, lo, hi, formatDuration)
		},
		func(d time.Duration) any { return formatDuration(d) })
	k.limits = formatDuration(lo) + " to " + formatDuration(hi)
	parse := k.parse
	k.parse = func(b *binder, n *node) (time.Duration, error) {
		d, err := parse(b, n)
		if n.form == formInteger {
			return 0, bad("expected a string (duration), got an integer").meant(durationMeant(n.text))
		}
		return d, err
	}
	return k
}

// size is a string such as "64KiB", or an integer that counts bytes.
func size(lo, hi Size) kind[Size] {
	return kind[Size]{
		typ: "size", limits: fmt.Sprintf("%s to %s", lo, hi),
		parse: func(_ *binder, n *node) (Size, error) {
			var v Size
			switch n.form {
			case formString:
				s, err := parseSize(n.text)
				if err != nil {
					return 0, err
				}
				v = s
			case formInteger:
				i, err := integer(n)
				if err != nil {
					return 0, err
				}
				v = Size(i)
			default:
				return 0, bad("expected a size such as \"64KiB\", got %s", n.form)
			}
			return v, between(v, lo, hi, Size.String)
		},
		show: func(v Size) any { return v.String() },
	}
}

// choice is one of a few words.
func choice(words ...string) kind[string] {
	k := word("string", "strings", nil)
	k.parse = func(_ *binder, n *node) (string, error) {
		known := slices.Contains(words, n.text)
		switch {
		case n.form != formString && known: // as min_version = 1.3
			return "", notA(k.typ, n).meant(n.text)
		case n.form != formString:
			return "", notA(k.typ, n)
		case !known:
			return "", bad("%q is not one of %s", n.text, strings.Join(words, ", ")).meant(near(n.text, words))
		}
		return n.text, nil
	}
	k.limits = strings.Join(words, ", ")
	return k
}

// plain is any string of at most limit bytes that has no control characters
// and is not empty.
func plain(limit int) kind[string] {
	return word("string", "strings", func(s string) (string, error) {
		switch {
		case s == "":
			return "", bad("is empty; leave the key out instead")
		case len(s) > limit:
			return "", bad("%d bytes are more than the allowed %d", len(s), limit)
		case strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }):
			return "", bad("control characters are not allowed")
		}
		return s, nil
	})
}

// nameOf is the name of something this table defines.
func nameOf() kind[string] {
	k := word("name", "names", func(s string) (string, error) { return s, checkName(s) })
	k.limits = "letters, digits, _ - . (64 at most)"
	return k
}

// refTo is the name of something that another table defines; that it exists is
// checked when the whole file is known.
func refTo(what string) kind[string] {
	return word("name of "+what, "", func(s string) (string, error) {
		if s == "" {
			return "", bad("is empty; leave the key out instead")
		}
		return s, nil
	})
}

var validName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$`)

// checkName holds names to what can stand in a metric, a log line and a URL.
func checkName(s string) error {
	if validName.MatchString(s) {
		return nil
	}
	return bad("%q is not a name: expected 1 to 64 letters, digits, '_', '-' or '.'", s)
}

// file is the path of a regular file that exists; dir is the path of a
// directory, or of a file to be written, which need not exist.
func file() kind[string] {
	return path("file", func(p string) error {
		st, err := os.Stat(p)
		switch {
		case err != nil:
			return bad("cannot find file %q: %v", p, cause(err))
		case !st.Mode().IsRegular():
			return bad("%q is not a regular file", p)
		}
		return nil
	})
}

func dir() kind[string] { return path("directory", func(string) error { return nil }) }

// logFile is a path, or one of the words that are not one.
func logFile() kind[string] {
	k := dir()
	k.typ, k.limits = "file", "a file, stdout, stderr, off"
	parse := k.parse
	k.parse = func(b *binder, n *node) (string, error) {
		if n.form == formString && slices.Contains([]string{"stdout", "stderr", "off"}, n.text) {
			return n.text, nil
		}
		return parse(b, n)
	}
	return k
}

// path is a path made absolute, relative to the directory of the file that
// names it.
func path(typ string, check func(string) error) kind[string] {
	k := word(typ, typ+"s", nil)
	k.parse = func(b *binder, n *node) (string, error) {
		if n.form != formString {
			return "", notA(typ, n)
		}
		p, err := b.path(n.text)
		if err != nil {
			return "", err
		}
		return p, check(p)
	}
	return k
}

// path makes p absolute.
func (b *binder) path(p string) (string, error) {
	if p == "" || strings.ContainsRune(p, 0) {
		return "", bad("%q is not a path", p)
	}
	if filepath.IsAbs(p) {
		return filepath.Clean(p), nil
	}
	return filepath.Join(b.dir, p), nil
}
