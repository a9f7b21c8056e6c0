package engine

import (
	"errors"
	"fmt"
	"time"

	"weir/conf"
	"weir/pool/cert"
)

// Check looks at what a start would need beside the file itself, without binding
// or resolving anything: certificates must fit their keys. Warnings are for what
// works and is still likely to be a mistake.
func Check(c *conf.Config) (warnings []string, err error) {
	var errs []error
	for _, l := range c.L7 {
		if l.TLS == nil {
			continue
		}
		store, err := cert.Load(l.TLS.Certs)
		if err != nil {
			errs = append(errs, fmt.Errorf("l7 %q: %w", l.Name, err))
			continue
		}
		if err := store.Check(time.Now()); err != nil {
			warnings = append(warnings, fmt.Sprintf("l7 %q: %v", l.Name, err))
		}
	}
	return warnings, errors.Join(errs...)
}
