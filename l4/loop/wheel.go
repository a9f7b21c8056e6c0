package loop

import "math/bits"

// A wheel holds timers in slots by the time they expire, in ticks. Adding and
// removing cost the same whatever the number of timers. It has no clock.
//
// Level 0 has a slot for each of the next ticks, level n slots of 64^n ticks. A
// timer stands on the level of the highest group of six bits in which its tick
// differs from now, so a level never wraps round and the next slot in use is the
// lowest set bit of the lowest level in use. When now reaches a slot of a higher
// level, its timers move down; each moves at most once per level.
type wheel struct {
	now   int64
	used  [wheelLevels]uint64 // bit n: slots[level][n] is not empty
	slots [wheelLevels][wheelSlots]*Timer
}

const (
	wheelBits   = 6
	wheelSlots  = 1 << wheelBits
	wheelLevels = 8
	wheelMax    = int64(1)<<(wheelBits*wheelLevels) - 1
)

// Expirer is told on the loop when a timer runs out.
type Expirer interface {
	Expire(t *Timer)
	Aborter
}

// Timer is a place in a loop's wheel, to be embedded in what it belongs to. The
// zero value is a stopped timer. It must not move while it is armed, and belongs
// to the loop that armed it.
type Timer struct {
	expirer    Expirer
	at         int64
	next, prev *Timer
	level      uint8
	slot       uint8
	armed      bool
}

// Armed reports whether the timer is running.
func (t *Timer) Armed() bool { return t.armed }

// add arms t for the given tick, or for the next one where that has passed.
func (w *wheel) add(t *Timer, at int64) {
	t.at = min(max(at, w.now+1), wheelMax)
	w.place(t)
}

func (w *wheel) place(t *Timer) {
	level := 0
	if diff := uint64(t.at ^ w.now); diff != 0 {
		level = (bits.Len64(diff) - 1) / wheelBits
	}
	slot := t.at >> (wheelBits * level) & (wheelSlots - 1)
	t.level, t.slot, t.armed = uint8(level), uint8(slot), true
	head := &w.slots[level][slot]
	t.prev, t.next = nil, *head
	if *head != nil {
		(*head).prev = t
	}
	*head = t
	w.used[level] |= 1 << slot
}

// remove stops t, which must be armed.
func (w *wheel) remove(t *Timer) {
	if t.next != nil {
		t.next.prev = t.prev
	}
	if t.prev != nil {
		t.prev.next = t.next
	} else {
		w.slots[t.level][t.slot] = t.next
		if t.next == nil {
			w.used[t.level] &^= 1 << t.slot
		}
	}
	t.next, t.prev, t.armed = nil, nil, false
}

// next is the first tick at which the wheel has something to do: a timer that
// expires or a slot whose timers move down.
func (w *wheel) next() (tick int64, ok bool) {
	level := w.lowest()
	if level < 0 {
		return 0, false
	}
	shift := wheelBits * level
	above := w.now >> (shift + wheelBits) << wheelBits
	return (above | int64(bits.TrailingZeros64(w.used[level]))) << shift, true
}

func (w *wheel) lowest() int {
	for level, used := range w.used {
		if used != 0 {
			return level
		}
	}
	return -1
}

// advance moves now to the given tick and calls fire for each timer that expires
// on the way, in the order of their ticks. fire may add and remove timers.
func (w *wheel) advance(to int64, fire func(*Timer)) {
	for {
		tick, ok := w.next()
		if !ok || tick > to {
			break
		}
		level := w.lowest()
		head := &w.slots[level][bits.TrailingZeros64(w.used[level])]
		w.now = tick
		for *head != nil {
			t := *head
			w.remove(t)
			if t.at <= tick {
				fire(t)
			} else {
				w.place(t)
			}
		}
	}
	w.now = max(w.now, to)
}
