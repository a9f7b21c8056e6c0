package message

import (
	"testing"
	"time"
)

// TestParseDate: RFC 9110 section 5.6.7, and what RFC 9111 section 4.2 relaxes.
func TestParseDate(t *testing.T) {
	at := time.Date(2026, time.March, 2, 0, 0, 0, 0, time.UTC).Unix()
	f := func(in, want string) {
		t.Helper()
		got := "no"
		if sec, ok := ParseDate([]byte(in), at); ok {
			got = time.Unix(sec, 0).UTC().Format(time.DateTime)
		}
		if got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
	const want = "1994-11-06 08:49:37"
	f("Sun, 06 Nov 1994 08:49:37 GMT", want)
	f("sUN, 06 nOV 1994 08:49:37 gMT", want)
	f("Sun, 06 Nov 1994 08:49:37 UTC", want)
	f("Sunday, 06-Nov-94 08:49:37 GMT", want)
	f("Sun Nov  6 08:49:37 1994", want)
	f("Wed, 31 Dec 2008 23:59:60 GMT", "2009-01-01 00:00:00")
	f("Thu, 29 Feb 2024 00:00:00 GMT", "2024-02-29 00:00:00")
	f("Sat, 01 Jan 0000 00:00:00 GMT", "0000-01-01 00:00:00")

	// Two digits: at most 50 years ahead.
	f("Sunday, 06-Nov-26 08:49:37 GMT", "2026-11-06 08:49:37")
	f("Sunday, 06-Nov-76 08:49:37 GMT", "2076-11-06 08:49:37")
	f("Sunday, 06-Nov-77 08:49:37 GMT", "1977-11-06 08:49:37")
	f("Sunday, 06-Nov-00 08:49:37 GMT", "2000-11-06 08:49:37")

	for _, bad := range []string{
		"", "0", "Sun", "Sun, 06 Nov 1994 08:49:37", "Sun, 6 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 94 08:49:37 GMT",
		"Sun, 06 Nov 1994 08:49:37 EST", "Sun, 06 Nov 1994 08:49:37 +00", "Sun, 06 Nov 1994 8:49:37 GMT",
		"Sun, 06-Nov-1994 08:49:37 GMT", "Sun, 31 Nov 1994 08:49:37 GMT", "Sun, 29 Feb 2023 08:49:37 GMT",
		"Sun, 00 Nov 1994 08:49:37 GMT", "Sun, 06 Abc 1994 08:49:37 GMT", "Abc, 06 Nov 1994 08:49:37 GMT",
		"Sun, 06 Nov 1994 24:49:37 GMT", "Sun, 06 Nov 1994 08:60:37 GMT", "Sun, 06 Nov 1994 08:49:61 GMT",
		"Sun, 06 Nov 1994 08-49-37 GMT", "Sun, 06 Nov -994 08:49:37 GMT", "Sun, +6 Nov 1994 08:49:37 GMT",
		"Sun, 06 Nov 1994 08:49:37 GMT ", " Sun, 06 Nov 1994 08:49:37 GMT", "Sun Nov 6 08:49:37 1994",
		"Sun Nov  x 08:49:37 1994", "Sun, Nov  6 08:49:37 1994", "Sund, 06-Nov-94 08:49:37 GMT",
		"Sunday, 06-Nov-1994 08:49:37 GMT", "Sunday, 06 Nov 94 08:49:37 GMT", "Sunday, 06-Nov-xx 08:49:37 GMT",
		", 06-Nov-94 08:49:37 GMT",
	} {
		f(bad, "no")
	}
	if n := testing.AllocsPerRun(100, func() {
		for _, s := range []string{"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "x"} {
			ParseDate([]byte(s), at)
		}
	}); n != 0 && !raceEnabled {
		t.Errorf("it allocates %v times", n)
	}
}

// FuzzDate: the standard library reads the same from what it takes too, and a date
// that is written is read again.
func FuzzDate(f *testing.F) {
	for _, s := range []string{
		"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994",
		"Wed, 31 Dec 2008 23:59:60 GMT",
	} {
		f.Add(s)
	}
	at := time.Date(1995, time.March, 2, 0, 0, 0, 0, time.UTC).Unix()
	f.Fuzz(func(t *testing.T, in string) {
		sec, ok := ParseDate([]byte(in), at)
		for _, layout := range []string{TimeFormat, time.ANSIC} {
			theirs, err := time.Parse(layout, in)
			if err == nil && len(in) == len(layout) && (!ok || sec != theirs.Unix()) {
				t.Errorf("%q: %d %v, package time says %v", in, sec, ok, theirs)
			}
		}
		if ok {
			if again, fine := ParseDate(AppendDate(nil, sec), at); fine && again != sec {
				t.Errorf("%q: %d, written and read again %d", in, sec, again)
			}
		}
	})
}
