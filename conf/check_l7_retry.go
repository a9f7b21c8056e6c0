package conf

import "slices"

// retry refuses settings that could never come into effect.
func (ck *checker) retry(r *L7Route) {
	t := &r.Retry
	if ck.has(&t.TryTimeout) && !ck.failed(&t.On, t.On) && !slices.Contains(t.On, "timeout") {
		ck.add(ck.at(&t.TryTimeout), "", `try_timeout: without "timeout" in on no other server is asked`)
	}
	if t.Tries == 1 && t.Hedge > 0 {
		ck.add(ck.at(&t.Hedge), "", "hedge: with tries = 1 no second server is asked")
	}
	if t.Tries == 1 && ck.has(&t.Methods) {
		ck.add(ck.at(&t.Methods), "", "methods: with tries = 1 nothing is repeated")
	}
}
