// Package torture puts one Weir process under all that a network, backends, clients
// and operators do wrong, and watches that nothing is ever wrong with what it does.
//
// Weir runs as a child process on free ports of loopback, before backends of ours
// that misbehave on request. At the same time
//
//   - each row of docs/faults.md that can be played on one machine is played again
//     and again with a strict expectation ([Report.Rows]),
//   - a mob of clients, some with TLS, does everything to backends that are killed and
//     stalled, and storms of connections come over all,
//   - the configuration is reloaded, with valid and with broken files,
//   - bystanders, who use healthy backends, must not notice.
//
// An oracle compares every body with what it has to be, and counts requests with
// side effects at the backends. When all is over, Weir must be back to the
// goroutines, descriptors and memory it had before, and drain on SIGTERM.
//
// What is done is decided by a seed; when exactly it happens is not.
package torture

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// Options says how to run.
type Options struct {
	Weir     []string      // the program and its first arguments; "run -c FILE" is added
	Dir      string        // an existing directory for files; "": one that is removed at the end
	Duration time.Duration // of calm and torture together, without start and end; at least 2 s
	Seed     uint64

	// Slack multiplies every promised time: 1 for a machine of one's own, 10 where
	// others work too.
	Slack float64

	// Progress is told what happens, one line at a time; nil: nobody is.
	Progress func(string)
}

const (
	minDuration = 2 * time.Second
	maxDuration = 24 * time.Hour

	calmShare  = 5 // one of so many parts of the duration is calm
	performers = 3 // rows at a time

	encryptedShare = 3 // one of so many performances has clients that speak TLS

	// A bystander may take so much longer, beyond what the machine does to everybody.
	slowdownLimit = 1.5
)

// Run tortures Weir. An error means that it could not; what Weir did wrong is in
// the report.
func Run(ctx context.Context, opts Options) (*Report, error) {
	if err := opts.check(); err != nil {
		return nil, err
	}
	if opts.Dir == "" {
		dir, err := os.MkdirTemp("", "weir-torture-")
		if err != nil {
			return nil, fmt.Errorf("cannot make a directory: %w", err)
		}
		defer os.RemoveAll(dir) //nolint:errcheck // what is left is in the temporary directory
		opts.Dir = dir
	}
	s, err := newStage(opts)
	if err != nil {
		return nil, err
	}
	defer s.close()
	if err := s.launch(ctx); err != nil {
		return nil, err
	}
	r := &Report{Seed: opts.Seed, Slack: opts.Slack, Started: time.Now()}
	if err := s.run(ctx, r); err != nil {
		return nil, err
	}
	r.Took = time.Since(r.Started)
	r.judge()
	return r, nil
}

func (o *Options) check() error {
	if len(o.Weir) == 0 {
		return errors.New("no program to torture")
	}
	if o.Duration < minDuration || o.Duration > maxDuration {
		return fmt.Errorf("duration %s: expected %s to %s", o.Duration, minDuration, maxDuration)
	}
	if o.Slack == 0 {
		o.Slack = 1
	}
	if o.Slack < 1 || o.Slack > 1000 {
		return fmt.Errorf("slack %g: expected 1 to 1000", o.Slack)
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	return nil
}
