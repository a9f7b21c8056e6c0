package message

import (
	"strconv"
	"strings"
	"testing"
)

func acceptEncoding(lines ...string) (fields []Field) {
	for _, l := range lines {
		fields = append(fields, Field{Name: []byte("Accept-Encoding"), Value: []byte(l), Known: AcceptEncoding})
	}
	return fields
}

func TestCodingWeight(t *testing.T) {
	f := func(value, coding string, want int, wantNamed bool) {
		t.Helper()
		got, named := CodingWeight(acceptEncoding(strings.Split(value, "\n")...), coding)
		if got != want || named != wantNamed {
			t.Errorf("%q, %s: got %d %v, want %d %v", value, coding, got, named, want, wantNamed)
		}
	}
	f("gzip, br", "br", 1000, true)
	f("GZIP", "gzip", 1000, true)
	f("x-gzip", "gzip", 1000, true)
	f("X-Gzip;q=0.3", "gzip", 300, true)
	f("gzip;q=0.5", "gzip", 500, true)
	f("gzip ;\tq=0.001", "gzip", 1, true)
	f("gzip;Q=1.000", "gzip", 1000, true)
	f("gzip;q=1.", "gzip", 1000, true)
	f("gzip;q=0.", "gzip", 0, true)
	f("gzip;", "gzip", 1000, true)
	f("deflate\nbr;q=0.2", "br", 200, true)
	f(",, gzip ,", "gzip", 1000, true)
	f("*", "zstd", 1000, true)
	f("*;q=0.1, br", "zstd", 100, true)
	f("*;q=0, br", "br", 1000, true)
	f("br, *;q=0", "identity", 0, true)
	f("identity;q=0", "identity", 0, true)
	f("gzip;q=0.4, gzip", "gzip", 400, true) // the first mention

	f("", "br", 0, false)
	f("gzip", "br", 0, false)
	f("gzip", "identity", 0, false)
	f("gzipp, xgzip", "gzip", 0, false)
	f("gzip;q=0", "gzip", 0, true)
	f("gzip;q=0.000", "gzip", 0, true)
	f("gzip;q=0, *", "gzip", 0, true)

	f("gzip;q=x", "gzip", 0, true)
	f("gzip;q", "gzip", 0, true)
	f("gzip;q=", "gzip", 0, true)
	f("gzip;q=2", "gzip", 0, true)
	f("gzip;q=1.001", "gzip", 0, true)
	f("gzip;q=0.0001", "gzip", 0, true)
	f("gzip;q=-1", "gzip", 0, true)
	f("gzip;q=0,5", "gzip", 0, true)
	f("gzip;q =1", "gzip", 0, true)
	f("gzip;level=1", "gzip", 0, true)
}

// FuzzCodingWeight holds the parser against one that is slow and plain.
func FuzzCodingWeight(f *testing.F) {
	f.Add("gzip;q=0.5, *;q=0, br", "gzip")
	f.Add("x-gzip ; q=1.000,,identity;q=0", "identity")
	f.Fuzz(func(t *testing.T, value, coding string) {
		if coding != strings.ToLower(coding) || coding == "*" || coding == "" || !validValue([]byte(value)) {
			return
		}
		weight, named := CodingWeight(acceptEncoding(value), coding)
		slow, slowNamed := slowWeight(value, coding)
		if weight != slow || named != slowNamed {
			t.Fatalf("%q, %q: got %d %v, want %d %v", value, coding, weight, named, slow, slowNamed)
		}
	})
}

func slowWeight(value, coding string) (int, bool) {
	lower := func(s string) string { // of ASCII alone, and whatever the octets are
		b := []byte(s)
		for i, c := range b {
			if 'A' <= c && c <= 'Z' {
				b[i] = c + 'a' - 'A'
			}
		}
		return string(b)
	}
	star, hasStar := 0, false
	for item := range strings.SplitSeq(value, ",") {
		if item = strings.Trim(item, " \t"); item == "" {
			continue
		}
		name, params, _ := strings.Cut(item, ";")
		name, params = strings.Trim(name, " \t"), strings.Trim(params, " \t")
		weight := 1000
		if params != "" {
			weight = 0
			number, ok := strings.CutPrefix(lower(params), "q=")
			whole, decimals, _ := strings.Cut(number, ".")
			if ok && (whole == "0" || whole == "1") && len(decimals) <= 3 && !strings.ContainsAny(decimals, "+-_.") {
				if n, err := strconv.Atoi(whole + (decimals + "000")[:3]); err == nil && n <= 1000 {
					weight = n
				}
			}
		}
		if lower(name) == coding || coding == "gzip" && lower(name) == "x-gzip" {
			return weight, true
		}
		if name == "*" && !hasStar {
			star, hasStar = weight, true
		}
	}
	return star, hasStar
}
