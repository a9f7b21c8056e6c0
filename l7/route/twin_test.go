package route

import (
	"regexp"
	"slices"
	"strings"

	"weir/conf"
)

// findSlowly is the order of the package comment as plainly as it can be written:
// rank every route that matches, take the best.
func findSlowly(routes []conf.L7Route, host, path, method string) (int, Verdict) {
	best, bestRank, verdict := -1, []int(nil), NotFound
	for i, r := range routes {
		hosts := r.Host
		if len(hosts) == 0 {
			hosts = []string{""}
		}
		for _, h := range hosts {
			hostRank, ok := rankHost(h, host)
			if !ok {
				continue
			}
			pathRank, ok := rankPath(r.Path, path)
			if !ok {
				continue
			}
			if verdict == NotFound {
				verdict = MethodNotAllowed
			}
			methodRank := 0
			if len(r.Method) > 0 {
				head := method == "HEAD" && slices.Contains(r.Method, "GET")
				if !head && !slices.Contains(r.Method, method) {
					continue
				}
				methodRank = -1
			}
			rank := slices.Concat(hostRank, pathRank, []int{methodRank, i})
			if best < 0 || slices.Compare(rank, bestRank) < 0 {
				best, bestRank = i, rank
			}
			verdict = Found
		}
	}
	return best, verdict
}

func rankHost(pattern, host string) ([]int, bool) {
	switch {
	case pattern == "":
		return []int{2, 0}, true
	case pattern[0] == '*':
		suffix := pattern[1:]
		return []int{1, -len(suffix)}, len(host) > len(suffix) && strings.HasSuffix(host, suffix)
	}
	return []int{0, 0}, pattern == host
}

func rankPath(pattern, path string) ([]int, bool) {
	switch {
	case pattern == "":
		return []int{4, 0}, true
	case pattern[0] == '~':
		return []int{3, 0}, regexp.MustCompile(pattern[1:]).MatchString(path)
	case pattern[0] == '=':
		c, err := canonical(pattern[1:])
		return []int{0, 0}, err == nil && c == path
	case strings.Contains(pattern, "{"):
		return []int{2, 0}, matchSegments(strings.Split(pattern, "/"), strings.Split(path, "/"))
	}
	c, err := canonical(pattern)
	prefix := strings.TrimSuffix(c, "/") + "/"
	return []int{1, -len(prefix)}, err == nil && strings.HasPrefix(path, "/") && strings.HasPrefix(path+"/", prefix)
}

func matchSegments(want, got []string) bool {
	if len(want) != len(got) || got[0] != "" {
		return false
	}
	for i := 1; i < len(want); i++ {
		if strings.HasPrefix(want[i], "{") {
			if got[i] == "" {
				return false
			}
			continue
		}
		c, err := canonical("/" + want[i])
		if err != nil || c != "/"+got[i] {
			return false
		}
	}
	return true
}
