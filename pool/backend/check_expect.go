package backend

import (
	"bytes"
	"context"
	"fmt"

	"weir/conf"
)

// expectCheck passes when each step of the script finds what it expects in what the
// server sends, each behind what the one before it found.
func expectCheck(ctx context.Context, network, address string, script []conf.HealthStep) error {
	return converse(ctx, network, address, func(d *dialogue) error { return expectTalk(d, script) })
}

func expectTalk(d *dialogue, script []conf.HealthStep) error {
	for i, step := range script {
		if step.Send != "" {
			if err := d.send([]byte(step.Send)); err != nil {
				return fmt.Errorf("cannot send step %d: %w", i+1, err)
			}
		}
		if got, err := d.find([]byte(step.Expect)); err != nil {
			return fmt.Errorf("step %d: %q is not in the answer %s: %w", i+1, step.Expect, shown(got), err)
		}
	}
	return nil
}

// find reads up to and including the next occurrence of want. Where there is none it
// returns what came instead.
func (d *dialogue) find(want []byte) (got []byte, err error) {
	for !bytes.HasSuffix(got, want) {
		c, err := d.r.ReadByte()
		if err != nil {
			return got, d.cause(err)
		}
		got = append(got, c)
	}
	return got, nil
}
