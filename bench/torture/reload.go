package torture

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"syscall"
	"time"
)

// reloadEvery is the time between two reloads.
const reloadEvery = 100 * time.Millisecond

// reloads counts what became of them.
type reloads struct {
	good, bad, signals int64
	failures           []string
}

// reloader changes the configuration until ctx ends and leaves the first one in
// force. One in five files is broken; now and then a SIGHUP races the API.
func (s *stage) reloader(ctx context.Context, rng *rand.Rand) (r reloads) {
	fail := func(format string, args ...any) {
		if len(r.failures) < maxNotes {
			r.failures = append(r.failures, fmt.Sprintf(format, args...))
		}
	}
	apply := func(v variant) {
		if err := s.reload(context.WithoutCancel(ctx), v); err != nil {
			fail("%v", err)
		}
	}
	for pause(ctx, reloadEvery) {
		v := variant{less: rng.IntN(2) == 0, extra: rng.IntN(2) == 0}
		if rng.IntN(5) == 0 {
			v.wrong = 1 + rng.IntN(len(mistakes))
			r.bad++
		} else {
			r.good++
		}
		if rng.IntN(8) == 0 {
			r.signals++
			if err := s.weir.signal(syscall.SIGHUP); err != nil {
				fail("%v", err)
			}
		}
		apply(v)
	}
	apply(variant{})
	r.good++
	return r
}

// reload puts a configuration in force, or sees a broken one refused with its file
// and line.
func (s *stage) reload(ctx context.Context, v variant) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	l := s.launchOf(v)
	if err := s.weir.write(l.text()); err != nil {
		return err
	}
	status, text, err := s.weir.call(ctx, http.MethodPost, "/api/v1/reload")
	switch {
	case err != nil:
		return err
	case v.wrong == 0 && status != http.StatusOK:
		return fmt.Errorf("a good file was refused with status %d: %s", status, text)
	case v.wrong > 0 && (status < 400 || status >= 500):
		return fmt.Errorf("a broken file was answered with status %d: %s", status, text)
	}
	return nil
}
