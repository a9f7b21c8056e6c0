package cache

// Progress returns how many octets of the body are there, and how many references read it
// while it grows. It may be called from any goroutine.
func (f *Fill) Progress() (written int64, readers int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for r := f.readers; r != nil; r = r.next {
		readers++
	}
	return f.written, readers
}
