package upstream

import (
	"testing"
	"time"
)

func TestLatencyBuckets(t *testing.T) {
	for us := int64(0); us < 1<<31; us += 1 + us/50 {
		d := time.Duration(us) * time.Microsecond
		i := latencyBucket(d)
		if bound := latencyBound(i); bound <= d || us >= 16 && bound > d+d/8+time.Microsecond {
			t.Fatalf("%v is in bucket %d, which ends at %v", d, i, bound)
		}
		if i > 0 && latencyBound(i-1) > d {
			t.Fatalf("%v is in bucket %d, but the one before ends at %v", d, i, latencyBound(i-1))
		}
	}
	for _, d := range []time.Duration{-1, 1 << 62} {
		if i := latencyBucket(d); i < 0 || i >= latencyBuckets {
			t.Errorf("%v is in bucket %d", d, i)
		}
	}
}

func TestLatencyQuantile(t *testing.T) {
	var l Latency
	for range latencyLeast - 1 {
		l.Observe(time.Millisecond)
	}
	if _, ok := l.Quantile(50); ok {
		t.Error("it speaks too early")
	}
	for i := range 4000 {
		d := time.Millisecond
		if i%10 == 0 {
			d = 100 * time.Millisecond
		}
		l.Observe(d)
	}
	f := func(percent int, least, most time.Duration) {
		t.Helper()
		if d, ok := l.Quantile(percent); !ok || d < least || d > most {
			t.Errorf("%d%%: %v %v, want %v to %v", percent, d, ok, least, most)
		}
	}
	f(50, time.Millisecond, 1200*time.Microsecond)
	f(85, time.Millisecond, 1200*time.Microsecond)
	f(95, 100*time.Millisecond, 115*time.Millisecond)
	for range 10 * latencyWindow { // what is long ago does not count
		l.Observe(10 * time.Millisecond)
	}
	f(1, 10*time.Millisecond, 12*time.Millisecond)
	f(99, 10*time.Millisecond, 12*time.Millisecond)
}
