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
