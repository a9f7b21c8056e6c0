package sniff

// reader reads a handshake message through the record headers that cut it into
// pieces, so that a message in several records needs no second buffer.
//
// left counts the bytes that may still be read in the innermost vector entered; the
// records of b are known to be proper and to hold them all.
type reader struct {
	b    []byte
	off  int // of the next byte
	rec  int // bytes left in the record at off; 0: a record header is next
	left int
}

// run returns the longest run of at most n bytes that lies in one record and moves
// past it. n must be positive and at most r.left.
func (r *reader) run(n int) []byte {
	if r.rec == 0 {
		r.rec = int(r.b[r.off+3])<<8 | int(r.b[r.off+4])
		r.off += recordHeaderLen
	}
	n = min(n, r.rec)
	p := r.b[r.off : r.off+n]
	r.off += n
	r.rec -= n
	r.left -= n
	return p
}

// skip moves n bytes on, or reports false where fewer are left.
func (r *reader) skip(n int) bool {
	if n > r.left {
		return false
	}
	for n > 0 {
		n -= len(r.run(n))
	}
	return true
}

// copy fills dst, or reports false where fewer bytes are left.
func (r *reader) copy(dst []byte) bool {
	if len(dst) > r.left {
		return false
	}
	for len(dst) > 0 {
		dst = dst[copy(dst, r.run(len(dst))):]
	}
	return true
}

// uint reads a big-endian number of size bytes, at most 3.
func (r *reader) uint(size int) (n int, ok bool) {
	if size > r.left {
		return 0, false
	}
	for range size {
		n = n<<8 | int(r.run(1)[0])
	}
	return n, true
}

// enter reads the length of a vector, size bytes wide, and confines r to the
// vector. leave gives back what outside is to be read after it.
func (r *reader) enter(size int) (outside int, ok bool) {
	n, ok := r.uint(size)
	if !ok || n > r.left {
		return 0, false
	}
	outside = r.left - n
	r.left = n
	return outside, true
}

// leave ends what enter began. The vector must have been read to its end.
func (r *reader) leave(outside int) bool {
	ok := r.left == 0
	r.left = outside
	return ok
}

// skipVector moves past a vector whose length is size bytes wide.
func (r *reader) skipVector(size int) bool {
	n, ok := r.uint(size)
	return ok && r.skip(n)
}
