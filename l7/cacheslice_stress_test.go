package l7

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// changing is a resource that becomes another one, of another length, at any time. All
// octets of a version are the same. Its server does what servers do.
type changing struct {
	version atomic.Int64
	asked   atomic.Int64
}

func (r *changing) body(version int64) []byte {
	return bytes.Repeat([]byte{byte(version)}, 12*sliceSize+int(version%7)*1000)
}

func (r *changing) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	v := r.version.Load()
	body := r.body(v)
	w.Header().Set("Cache-Control", "max-age=60")
	w.Header().Set("Etag", fmt.Sprintf(`"%d"`, v))
	switch r.asked.Add(1); rand.IntN(40) {
	case 0:
		http.Error(w, "not now", http.StatusInternalServerError)
		return
	case 1:
		req.Header.Del("Range")
	case 2:
		req.Header.Del("If-None-Match")
	case 3:
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		w.Write(body[:len(body)/2])
		panic(http.ErrAbortHandler)
	}
	http.ServeContent(w, req, "", time.Time{}, bytes.NewReader(body))
}

// TestSlicesStress: whatever servers, purges and clients do, a client gets octets of one
// version, that of the tag, at the place that was said, and less of them only with an error.
func TestSlicesStress(t *testing.T) {
	for name, config := range map[string]string{
		"memory": "[cache]\nmemory = \"4MiB\"\nmax_object = \"256KiB\"\n",
		"disk": "[cache]\nmemory = \"4MiB\"\nmax_object = \"256KiB\"\n" +
			fmt.Sprintf("[cache.disk]\npath = %q\nsize = \"32MiB\"\n", t.TempDir()),
	} {
		t.Run(name, func(t *testing.T) { stressSlices(t, config) })
	}
}

func stressSlices(t *testing.T, config string) {
	const clients, requests = 16, 40
	var res changing
	r := newRig(t, config+slicedRig+"stale_if_error = \"1m\"\n", newHTTPOrigin(t, res.ServeHTTP).addr)
	var wg sync.WaitGroup
	var whole, cut atomic.Int64
	for i := range clients {
		rnd := rand.New(rand.NewPCG(7, uint64(i)))
		wg.Go(func() {
			c := r.dial()
			for range requests {
				switch rnd.IntN(20) {
				case 0:
					res.version.Add(1)
				case 1:
					r.server.PurgeCache(Purge{URL: "http://www.example.com/film", Soft: rnd.IntN(3) > 0})
				}
				fields := ""
				if rnd.IntN(4) > 0 {
					from := rnd.IntN(12 * sliceSize)
					fields = [...]string{
						fmt.Sprintf("Range: bytes=%d-%d\r\n", from, from+rnd.IntN(4*sliceSize)),
						fmt.Sprintf("Range: bytes=%d-\r\n", from),
						fmt.Sprintf("Range: bytes=-%d\r\n", 1+rnd.IntN(sliceSize)),
					}[rnd.IntN(3)]
				}
				fields += [...]string{"", "", "", "Cache-Control: no-cache\r\n", "Cache-Control: only-if-cached\r\n"}[rnd.IntN(5)]
				c.send("GET /film HTTP/1.1\r\nHost: www.example.com\r\n%s\r\n", fields)
				a, body, err := c.response("GET")
				if err != nil {
					cut.Add(1)
					c = r.dial()
				} else {
					whole.Add(1)
				}
				checkVersion(t, &res, a, body, err)
			}
		})
	}
	wg.Wait()
	t.Logf("%d whole, %d cut, %d requests to the server", whole.Load(), cut.Load(), res.asked.Load())
	if whole.Load() < 4*cut.Load() {
		t.Errorf("%d responses were cut, %d were whole", cut.Load(), whole.Load())
	}
}

// checkVersion checks that a response is of one version.
func checkVersion(t *testing.T, r *changing, a *http.Response, body string, err error) {
	t.Helper()
	var v int64
	if _, e := fmt.Sscanf(a.Header.Get("Etag"), `"%d"`, &v); e != nil || a.StatusCode != 200 && a.StatusCode != 206 {
		return // an error of the server, or 416
	}
	all := r.body(v)
	from, to, total := 0, len(all)-1, len(all)
	if a.StatusCode == 206 {
		if _, e := fmt.Sscanf(a.Header.Get("Content-Range"), "bytes %d-%d/%d", &from, &to, &total); e != nil {
			t.Error(e)
			return
		}
	}
	if total != len(all) || a.ContentLength != int64(to-from+1) {
		t.Errorf("version %d of %d octets: %d %q with %d octets", v, len(all), a.StatusCode,
			a.Header.Get("Content-Range"), a.ContentLength)
	}
	if strings.Trim(body, string(all[:1])) != "" || err == nil && len(body) != to-from+1 {
		t.Errorf("version %d: %d octets, not all of it or of another version, %v", v, len(body), err)
	}
}
