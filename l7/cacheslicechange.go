package l7

import (
	"time"

	"weir/l7/cache"
)

// A resource that becomes another one never becomes the old one again. Where that seems to
// be so, its servers do not agree on its tag, as some make it of the file's inode, and
// nothing can be put together of what they send.

// disagreeing is for how long such a resource is not answered from slices.
const disagreeing = time.Hour

// changeSlices drops what is stored of the version that is being put together, after a slice
// of the version with another tag has come. Both are the exchange's to use.
func (x *exchange) changeSlices(tag []byte) {
	c := &x.cached
	now := time.Now()
	c.rc.dropSlices(c.key, false, now)
	if x.isOldVersion(tag, now) {
		c.rc.store.MarkUncacheable(c.rc.appendSliceKey(nil, c.key, unsliced), now.Add(disagreeing))
		x.s.log.Warn("servers do not agree on the ETag of a resource; it is not answered from slices",
			"listener", c.rc.listener, "route", c.rc.route, "path", string(x.req.Path), "for", disagreeing)
	}
	c.rc.store.MarkUncacheable(x.versionKey(c.slices.tag), now.Add(disagreeing))
}

// isOldVersion reports whether the version with a tag was found to be replaced.
func (x *exchange) isOldVersion(tag []byte, now time.Time) bool {
	var ref cache.Ref
	defer ref.Release()
	return x.cached.rc.store.Lookup(x.versionKey(tag), &x.req, now, &ref) == cache.Uncacheable
}

// versionKey is the key under which is noted that a version was replaced.
func (x *exchange) versionKey(tag []byte) []byte {
	return append(x.cached.rc.appendSliceKey(nil, x.cached.key, replaced), tag...)
}
