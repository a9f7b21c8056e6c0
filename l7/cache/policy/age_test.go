package policy

import (
	"testing"
	"time"
)

// TestInitialAge: RFC 9111 section 4.2.3.
func TestInitialAge(t *testing.T) {
	f := func(lines string, delay, want time.Duration) {
		t.Helper()
		m, _ := Judge(&Config{}, request(t, ""), response(t, lines), now.Add(-delay), now)
		if m.InitialAge != want {
			t.Errorf("%q after %v: %v, want %v", lines, delay, m.InitialAge, want)
		}
	}
	const s = time.Second
	f("", 0, 0)
	f("Age: 7", 0, 7*s)
	f("", 3*s, 3*s)
	f("Age: 7", 3*s, 10*s)
	f("Age: 7\nDate: "+date(-20), 3*s, 20*s)
	f("Age: 7\nDate: "+date(-5), 0, 7*s)
	f("Date: "+date(-20), 0, 20*s)
	f("Date: "+date(20), 0, 0) // their clock is ahead
	f("Date: x\nAge: 1", 0, 1*s)
	f("Date: Mon, 02 Mar 1970 12:00:00 GMT", 0, time.Duration(date64(t)))
	f("Age: 99999999999999999999", 0, maxDelta*s)
}

// date64 is the time since the Date of the test above.
func date64(t *testing.T) int64 {
	t.Helper()
	return int64(now.Sub(time.Date(1970, time.March, 2, 12, 0, 0, 0, time.UTC)))
}

// TestAgeField: RFC 9111 section 5.1.
func TestAgeField(t *testing.T) {
	f := func(lines string, want int64) {
		t.Helper()
		m, _ := Judge(&Config{}, request(t, ""), response(t, lines), now, now)
		if got := int64(m.InitialAge / time.Second); got != want {
			t.Errorf("%q: %d, want %d", lines, got, want)
		}
	}
	f("Age: 30", 30)
	f("Age: 0030", 30)
	f("Age: 30, 60", 30) // the first member of a list
	f("Age: 30,", 30)
	f("Age: 30 , x", 30)
	f("Age: 30\nAge: 60", 30)
	f("Age: 0\nAge: 60", 0)
	f("Age: x, 60", 0) // invalid: ignored
	f("Age: x\nAge: 60", 0)
	f("Age: -30", 0)
	f("Age: +30", 0)
	f("Age: 30.5", 0)
	f("Age: 30s", 0)
	f("Age: 30;a=b", 0)
	f("Age: \"30\"", 0)
	f("Age: , 30", 0)
	f("Age:", 0)
	f("Age: 2147483647", 1<<31-1)
	f("Age: 2147483648", 1<<31)
	f("Age: 4294967297", 1<<31)
	f("Age: 18446744073709551617", 1<<31)
}

// TestCurrentAge: the age goes up while a response is stored, and a clock that is set
// back takes nothing of it away.
func TestCurrentAge(t *testing.T) {
	m, _ := Judge(&Config{}, request(t, ""), response(t, "Age: 7\nCache-Control: max-age=10"), now, now)
	f := func(at time.Time, age, ttl string) {
		t.Helper()
		if got := string(AppendAge(nil, m.Age(at))); got != age {
			t.Errorf("at %v: age %s, want %s", at, got, age)
		}
		if got := m.TTL(at).String(); got != ttl {
			t.Errorf("at %v: TTL %s, want %s", at, got, ttl)
		}
	}
	f(now, "7", "3s")
	f(after(0.9), "7", "2.1s")
	f(after(1), "8", "2s")
	f(after(5), "12", "-2s")
	f(after(-3600), "7", "3s")
}

// TestAppendAge: a number of seconds that every recipient can hold (section 1.2.2).
func TestAppendAge(t *testing.T) {
	f := func(age time.Duration, want string) {
		t.Helper()
		if got := string(AppendAge([]byte("Age: "), age)); got != "Age: "+want {
			t.Errorf("%v: %q, want %q", age, got, want)
		}
	}
	f(0, "0")
	f(-time.Second, "0")
	f(1999*time.Millisecond, "1")
	f(maxDelta*time.Second, "2147483648")
	f(2*maxDelta*time.Second, "2147483648")
}

func TestExpire(t *testing.T) {
	s := store(t, &Config{}, "Cache-Control: max-age=60, stale-while-revalidate=10")
	s.meta.Expire(after(5))
	w := ReadWish(&Config{}, request(t, ""))
	if d := Reuse(&Config{}, &s.meta, &w, after(5)); d.Use != StaleWhileRevalidate || d.TTL != 0 {
		t.Errorf("right away: %v, TTL %v", d.Use, d.TTL)
	}
	if d := Reuse(&Config{}, &s.meta, &w, after(16)); d.Use != Revalidate {
		t.Errorf("later: %v", d.Use)
	}
	s.meta.Expire(after(100))
	if s.meta.Lifetime != 5*time.Second {
		t.Errorf("expired again: lifetime %v", s.meta.Lifetime)
	}
}
