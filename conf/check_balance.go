package conf

// balance checks that what the balancer needs is there, and nothing else.
func (ck *checker) balance(p *Pool) {
	switch hash := p.Balance == "hash"; {
	case hash && p.HashBy == (HashBy{}) && !ck.has(&p.HashBy):
		ck.add(ck.at(&p.Balance), "",
			"balance: \"hash\" needs hash_by; expected source, path, header:NAME or cookie:NAME")
	case !hash && ck.has(&p.HashBy):
		ck.add(ck.at(&p.HashBy), "", "hash_by: only balance = \"hash\" looks at it; this pool has %q", p.Balance)
	}
}

// leastKey is the shortest key that signs a cookie, in characters.
const leastKey = 16

// sticky checks [pool.NAME.sticky].
func (ck *checker) sticky(p *Pool) {
	s := &p.Sticky
	if n := len(s.Key.Reveal()); n > 0 && n < leastKey {
		ck.add(ck.at(&s.Key), "", "key: it has %d characters, at least %d are needed", n, leastKey)
	}
	if s.SameSite == "none" && s.Secure == "never" {
		ck.add(ck.at(&s.SameSite), "", "same_site: browsers refuse a cookie with \"none\" that is not Secure")
	}
}
