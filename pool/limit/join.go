package limit

// Join is for a connection that is handed over to l: it goes on to count for the
// listener that accepted it, and counts for l too, whose caps and rates it has to
// meet as one that l accepted itself. When it is refused, t is as it was. A ticket
// joins one listener at most.
func (t *Ticket) Join(l *Listener) Refusal {
	if t.listener == nil || t.also != nil {
		panic("BUG: a ticket that holds nothing, or two listeners, was handed over")
	}
	r := t.join(l)
	if r != Admitted {
		l.refused[r].Add(1)
	}
	return r
}

func (t *Ticket) join(l *Listener) Refusal {
	hasSource := t.source != key{}
	if !l.own.take() {
		return RefusedListener
	}
	t.also = l
	if limit := l.own.perSrc.Load(); limit > 0 && hasSource {
		if t.inAlso = l.own.sources.take(t.source, limit); !t.inAlso {
			t.part()
			return RefusedSource
		}
	}
	rate := l.own.ratePerSrc.Load()
	if rate <= 0 && l.own.rate.Rate() <= 0 {
		return Admitted // spares the clock
	}
	now := l.conns.clock()
	refused := Admitted
	switch {
	case hasSource && rate > 0 && !l.own.arrivals.take(t.source, now, rate):
		refused = RefusedSourceRate
	case !l.own.rate.Take(now, rateWindow):
		refused = RefusedListenerRate
	}
	if refused != Admitted {
		t.part()
	}
	return refused
}

// part is the opposite of join.
func (t *Ticket) part() {
	if t.also == nil {
		return
	}
	if t.inAlso {
		t.also.own.sources.give(t.source)
	}
	t.also.own.active.Add(-1)
	t.also, t.inAlso = nil, false
}
