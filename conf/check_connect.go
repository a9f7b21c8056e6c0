package conf

// l7Connects checks what a listener says of CONNECT: the pools exist, and no target is
// unreachable behind the same one.
func (ck *checker) l7Connects(l *L7) {
	everywhere := first{} // targets that a table before takes from every client
	for i := range l.Connects {
		c := &l.Connects[i]
		ck.refPool(&c.Pool)
		ck.repeated("source", c.Source)
		own := first{}
		for j := range c.To {
			to := &c.To[j]
			switch {
			case *to == "":
			case ck.again(own, *to, ck.at(to)) > 0:
				ck.add(ck.at(to), "", "to: %q is already in this list", *to)
			case everywhere.has(*to):
				ck.add(ck.at(to), "", "to: %q is already served for every client by the table with line %d",
					*to, ck.src.line(everywhere[*to].pos))
			}
		}
		if ck.has(&c.Source) {
			continue
		}
		for j := range c.To {
			ck.again(everywhere, c.To[j], ck.at(&c.To[j]))
		}
	}
}
