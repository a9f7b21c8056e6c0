package cache

import "sync"

// Eviction is S3-FIFO (Yang and others, SOSP 2023): a tenth of the memory is a queue on
// probation. What is found again while it stands there moves to the main queue at its end,
// the rest leaves, and is remembered by its hash alone; what comes back soon after goes to
// the main queue at once. There the end is given another round for each time that it was
// found, up to three. A scan passes through the tenth and drives nothing out. Finding an
// object moves nothing: it costs one counter, which stops at three.
const (
	maxFreq     = 3
	smallShare  = 10 // the part of the memory on probation is 1/smallShare
	promoteFrom = 1  // found how often on probation to stay
)

// evictor decides who leaves. It knows the queues; who is chosen is unlinked by whoever
// asked.
type evictor struct {
	entries *entries

	mu     sync.Mutex
	queues [numQueues]queue
	ghosts ghosts
}

func (v *evictor) queue(name queueName) *queue { return &v.queues[name] }

// add queues an entry, which the caller refers to. It does nothing for one that is out of
// the index by now. moved is set for one that takes the place of another in the index: it
// goes to the queue in which that one was.
func (v *evictor) add(id uint32, size int64, as queueName) {
	v.mu.Lock()
	defer v.mu.Unlock()
	e := v.entries.at(id)
	if !e.is(linked) {
		return
	}
	if as == noQueue {
		as = smallQueue
		if v.ghosts.take(e.hash) {
			as = mainQueue
		}
	}
	e.size, e.queue = uint32(size/16), as
	v.queue(as).push(v.entries, id)
}

// remove takes an entry out of its queue, if it stands in one, and returns in which. Who
// unlinks an entry calls it before giving up the index's reference.
func (v *evictor) remove(id uint32) queueName {
	v.mu.Lock()
	defer v.mu.Unlock()
	e := v.entries.at(id)
	name := e.queue
	if name != noQueue {
		v.queue(name).remove(v.entries, id)
		e.queue = noQueue
	}
	return name
}

// victim chooses who leaves next, takes it out of its queue and returns it with a
// reference; zero is nobody.
func (v *evictor) victim() uint32 {
	v.mu.Lock()
	defer v.mu.Unlock()
	small, main := v.queue(smallQueue), v.queue(mainQueue)
	// Each step takes one entry out, or lowers one's count or moves it for good.
	for small.count+main.count > 0 {
		var id uint32
		if main.count == 0 || small.count > 0 && small.units >= (small.units+main.units)/smallShare {
			id = v.fromSmall(small, main)
		} else {
			id = v.fromMain(main)
		}
		if id != 0 {
			v.entries.at(id).refs.Add(1) // the index's reference is still there: it was queued
			return id
		}
	}
	return 0
}

func (v *evictor) fromSmall(small, main *queue) uint32 {
	id := small.back
	e := v.entries.at(id)
	small.remove(v.entries, id)
	if e.freq.Load() >= promoteFrom {
		e.freq.Store(0)
		e.queue = mainQueue
		main.push(v.entries, id)
		return 0
	}
	e.queue = noQueue
	v.ghosts.add(e.hash, small.count+main.count)
	return id
}

func (v *evictor) fromMain(main *queue) uint32 {
	id := main.back
	e := v.entries.at(id)
	main.remove(v.entries, id)
	if n := e.freq.Load(); n > 0 {
		e.freq.Store(n - 1)
		main.push(v.entries, id)
		return 0
	}
	e.queue = noQueue
	return id
}

// touch counts that an entry was found.
func (e *entry) touch() {
	if n := e.freq.Load(); n < maxFreq {
		e.freq.Store(n + 1) // one lost to another core is no loss
	}
}
