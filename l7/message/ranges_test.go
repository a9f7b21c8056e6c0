package message

import (
	"fmt"
	"strings"
	"testing"
)

func TestParseRanges(t *testing.T) {
	f := func(value string, size int64, want string) {
		t.Helper()
		got := "ignored"
		if r, ok := ParseRanges([]byte(value), size, nil); ok {
			got = fmt.Sprint(r)
		}
		if got != want {
			t.Errorf("%q of %d: got %s, want %s", value, size, got, want)
		}
	}
	f("bytes=0-4", 10, "[{0 5}]")
	f("bytes=5-", 10, "[{5 5}]")
	f("bytes=-3", 10, "[{7 3}]")
	f("bytes=-30", 10, "[{0 10}]")
	f("bytes=0-99", 10, "[{0 10}]")
	f("BYTES=0-0,9-9", 10, "[{0 1} {9 1}]")
	f("bytes= 0-0 , ,\t2-3", 10, "[{0 1} {2 2}]")
	f("bytes=9-9,0-0", 10, "[{9 1} {0 1}]") // in the order asked for
	f("bytes=0-0,20-30", 10, "[{0 1}]")
	f("bytes=10-", 10, "[]")
	f("bytes=-0", 10, "[]")
	f("bytes=0-", 0, "[]")
	f("bytes=99999999999999999999-", 10, "[]")
	f("bytes=0-99999999999999999999", 10, "[{0 10}]")
	f("bytes=-99999999999999999999", 10, "[{0 10}]")

	f("bytes=", 10, "ignored")
	f("bytes=,", 10, "ignored")
	f("bytes=-", 10, "ignored")
	f("bytes=5", 10, "ignored")
	f("bytes=5-4", 10, "ignored")
	f("bytes=a-b", 10, "ignored")
	f("bytes=+1-2", 10, "ignored")
	f("bytes=1--2", 10, "ignored")
	f("lines=0-1", 10, "ignored")
	f("bytes=0-8,1-9", 10, "ignored") // more than the file
	f("bytes="+strings.Repeat("0-0,", 17), 100, "ignored")
}

func FuzzRanges(f *testing.F) {
	f.Add("bytes=0-4,-3,5-", int64(10))
	f.Add("bytes=9223372036854775807-9223372036854775807", int64(1)<<62)
	f.Fuzz(func(t *testing.T, value string, size int64) {
		if size < 0 {
			return
		}
		ranges, ok := ParseRanges([]byte(value), size, nil)
		if !ok {
			return
		}
		var sum int64
		for _, r := range ranges {
			if r.Start < 0 || r.Length <= 0 || r.Start > size-r.Length {
				t.Fatalf("%q of %d gives %v", value, size, r)
			}
			sum += r.Length
		}
		if len(ranges) > maxRanges || sum > size {
			t.Fatalf("%q of %d gives %d ranges of %d octets", value, size, len(ranges), sum)
		}
	})
}
