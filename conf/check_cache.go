package conf

import "strings"

// objectPart is how many objects of the default length at least find room in little memory.
const objectPart = 8

// memoryPart is the part of a small memory_limit that the cache has where the file does
// not say.
const memoryPart = 4

// cache checks [cache].
func (ck *checker) cache(c *Cache) {
	limit := &ck.c.Process.MemoryLimit
	if *limit > 0 && !ck.has(&c.Memory) {
		c.Memory = min(c.Memory, *limit/memoryPart)
	}
	if !ck.has(&c.MaxObject) {
		c.MaxObject = min(c.MaxObject, c.Memory/objectPart)
	}
	order(ck, &c.MaxObject, &c.Memory, Size.String, "max_object", "memory", c)
	if *limit > 0 {
		order(ck, &c.Memory, limit, Size.String, "memory", "memory_limit of [process]", c)
	}
}

// routeCache checks [l7.route.cache].
func (ck *checker) routeCache(r *L7Route) {
	c := r.Cache
	if c == nil {
		return
	}
	if !ck.has(&r.Pool) && !ck.has(&r.Split) {
		if ck.targets(r) == 1 {
			ck.add(ck.at(&r.Cache), "", "cache: only responses of a pool can be stored")
		}
		return
	}
	if c.MaxTTL > 0 {
		order(ck, &c.MinTTL, &c.MaxTTL, formatDuration, "min_ttl", "max_ttl", c)
	}
	for _, t := range []struct {
		key  string
		text *Template
	}{{"rewrite_path", &r.RewritePath}, {"rewrite_host", &r.RewriteHost}} {
		if v := t.text.PerClient(); v != "" {
			ck.add(ck.at(t.text), "", "%s: with a cache {%s} cannot be part of it; "+
				"one client would get the response of another", t.key, v)
		}
	}
	if c.Slice > 0 {
		order(ck, &c.Slice, &ck.c.Cache.MaxObject, Size.String, "slice", "max_object of [cache]", c)
	}
	ck.cacheKey(&c.Key)
	for i := range c.Targets {
		if t := &c.Targets[i]; strings.EqualFold(*t, "Cache-Control") || strings.EqualFold(*t, "Expires") {
			ck.add(ck.at(t), "", "targets: %q is for every cache; name only fields that are for this one", *t)
		}
	}
	ck.repeatedName("targets", c.Targets)
	for _, list := range []struct {
		key        string
		conditions []Condition
	}{{"bypass_header", c.BypassHeader}, {"bypass_query", c.BypassQuery}, {"bypass_cookie", c.BypassCookie}} {
		if n := len(list.conditions); n > maxConditions {
			ck.add(ck.at(&list.conditions[maxConditions]), "", "%s: %d conditions are more than the allowed %d",
				list.key, n, maxConditions)
		}
		for i := range list.conditions {
			ck.condition(list.key, &list.conditions[i])
		}
	}
}

// cacheKey refuses parts that say the opposite of each other, or nothing.
func (ck *checker) cacheKey(k *CacheKey) {
	allow, deny := ck.has(&k.QueryAllow), ck.has(&k.QueryDeny)
	switch {
	case allow && deny:
		ck.add(ck.at(&k.QueryDeny), "", "query_deny: with query_allow only what that names counts; leave one out")
	case k.Query == "ignore" && (allow || deny):
		ck.add(ck.at(&k.QueryAllow, &k.QueryDeny), "", "query_%s: with query = \"ignore\" no parameter counts",
			map[bool]string{true: "allow", false: "deny"}[allow])
	}
	ck.repeated("query_allow", k.QueryAllow)
	ck.repeated("query_deny", k.QueryDeny)
	ck.repeatedName("headers", k.Headers)
	ck.repeated("cookies", k.Cookies)
}

// repeatedName is repeated for names of fields, in which case does not count.
func (ck *checker) repeatedName(key string, list []string) {
	seen := first{}
	for i := range list {
		v := &list[i]
		if *v != "" && ck.again(seen, strings.ToLower(*v), ck.at(v)) > 0 {
			ck.add(ck.at(v), "", "%s: %q is already in this list; case does not matter", key, *v)
		}
	}
}
