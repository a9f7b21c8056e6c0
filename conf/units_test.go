package conf

import (
	"math"
	"testing"
	"time"
)

func TestParseSize(t *testing.T) {
	f := func(s string, want Size) {
		t.Helper()
		got, err := parseSize(s)
		if err != nil || got != want {
			t.Errorf("parseSize(%q) = %d, %v; want %d", s, got, err, want)
		}
	}
	f("0", 0)
	f("512", 512)
	f("512B", 512)
	f("64KiB", 64<<10)
	f("64KB", 64_000)
	f("1MiB", 1<<20)
	f("1MB", 1_000_000)
	f("3GiB", 3<<30)
	f("3GB", 3_000_000_000)
	f("8388607TiB", 8388607<<40)
	f("9223372036854775807", math.MaxInt64)
}

func TestParseSizeFailure(t *testing.T) {
	f := func(s, meant string) {
		t.Helper()
		_, err := parseSize(s)
		wantFault(t, s, err, meant)
	}
	f("64 KiB", `"64KiB"`)
	f("64kib", `"64KiB"`)
	f("64k", `"64KiB"`)
	f("64mb", `"64MB"`)
	f("64M", `"64MiB"`)
	f("64 bytes", `"64B"`)
	f("", "")
	f("KiB", "")
	f("-1", "")
	f("1.5MiB", "")
	f("64XB", "")
	f("8388608TiB", "")
	f("9223372036854775808", "")
}

func TestSizeString(t *testing.T) {
	f := func(s Size, want string) {
		t.Helper()
		if got := s.String(); got != want {
			t.Errorf("Size(%d) is %q, want %q", int64(s), got, want)
		}
		if again, err := parseSize(want); s >= 0 && (err != nil || again != s) {
			t.Errorf("parseSize(%q) = %d, %v; want %d", want, again, err, s)
		}
	}
	f(0, "0B")
	f(1, "1B")
	f(1000, "1KB")
	f(1023, "1023B")
	f(1024, "1KiB")
	f(1536, "1536B")
	f(64<<10, "64KiB")
	f(1<<40, "1TiB")
	f(5_000_000, "5MB")
	f(-5, "-5B")
}

func TestParseDuration(t *testing.T) {
	f := func(s string, want time.Duration, shown string) {
		t.Helper()
		got, err := parseDuration(s)
		if err != nil || got != want {
			t.Errorf("parseDuration(%q) = %v, %v; want %v", s, got, err, want)
		}
		if got := formatDuration(want); got != shown {
			t.Errorf("formatDuration(%v) = %q, want %q", want, got, shown)
		}
		if again, err := parseDuration(shown); err != nil || again != want {
			t.Errorf("parseDuration(%q) = %v, %v; want %v", shown, again, err, want)
		}
	}
	f("0", 0, "0s")
	f("500ms", 500*time.Millisecond, "500ms")
	f("2s", 2*time.Second, "2s")
	f("60s", time.Minute, "1m")
	f("90s", 90*time.Second, "1m30s")
	f("10s", 10*time.Second, "10s")
	f("1h", time.Hour, "1h")
	f("1h0m5s", time.Hour+5*time.Second, "1h0m5s")
	f("10m", 10*time.Minute, "10m")
	f("8760h", 8760*time.Hour, "8760h")
	f("1.5s", 1500*time.Millisecond, "1.5s")
}

func TestParseDurationFailure(t *testing.T) {
	f := func(s, meant string) {
		t.Helper()
		_, err := parseDuration(s)
		wantFault(t, s, err, meant)
	}
	f("2", `"2s"`)
	f("2 s", `"2s"`)
	f("2sec", `"2s"`)
	f("5 minutes", `"5m"`)
	f("5 Min", `"5m"`)
	f("1d", `"24h"`)
	f("1hr", `"1h"`)
	f("20msec", `"20ms"`)
	f("", "")
	f("soon", "")
	f("-2s", "")
	f("+2s", "")
	f("99999999999h", `"99999999999h"`)
}

// wantFault checks that err is a fault with this suggestion.
func wantFault(t *testing.T, of string, err error, meant string) {
	t.Helper()
	f, ok := err.(*fault)
	if !ok {
		t.Errorf("%q: got error %v, want a fault", of, err)
		return
	}
	if f.suggestion != meant {
		t.Errorf("%q: suggests %s, want %s", of, f.suggestion, meant)
	}
}
