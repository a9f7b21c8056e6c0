package cache

// queueName says in which queue of the evictor an entry stands.
type queueName uint8

const (
	noQueue    queueName = iota
	smallQueue           // on probation
	mainQueue            // found again while on probation, or soon after
	numQueues
)

// queue is a list of entries through the entries: new ones enter at the front.
type queue struct {
	front, back uint32
	count       int
	units       int64 // what the entries cost, see entry.size
}

func (q *queue) push(t *entries, id uint32) {
	e := t.at(id)
	e.qprev, e.qnext = 0, q.front
	if q.front != 0 {
		t.at(q.front).qprev = id
	} else {
		q.back = id
	}
	q.front = id
	q.count++
	q.units += int64(e.size)
}

func (q *queue) remove(t *entries, id uint32) {
	e := t.at(id)
	if e.qprev != 0 {
		t.at(e.qprev).qnext = e.qnext
	} else {
		q.front = e.qnext
	}
	if e.qnext != 0 {
		t.at(e.qnext).qprev = e.qprev
	} else {
		q.back = e.qprev
	}
	e.qprev, e.qnext = 0, 0
	q.count--
	q.units -= int64(e.size)
}
