package torture

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// A second Weir has hardly any descriptors and a full disk: rows 25 and 50.
const (
	smallDescriptors = 64
	smallCrowd       = 200
)

// small plays both rows and returns what they came to.
func (s *stage) small(ctx context.Context) (descriptors, disk error) {
	addrs, err := freePorts(3)
	if err != nil {
		return err, err
	}
	dir := filepath.Join(s.opts.Dir, "small")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		err = fmt.Errorf("cannot make the directory of the second Weir: %w", err)
		return err, err
	}
	web, raw := addrs[1], addrs[2]
	w, err := startChild(ctx, launch{
		argv: s.opts.Weir, dir: dir, admin: addrs[0], nofile: smallDescriptors,
		config: fmt.Sprintf("[access_log]\npath = \"/dev/full\"\n[pool.calm]\nservers = [%q]\n"+
			"[pool.raw]\nservers = [%q]\n[[l7]]\nname = \"web\"\nlisten = [%q]\n[[l7.route]]\npool = \"calm\"\n"+
			"[[l4]]\nname = \"raw\"\nlisten = [%q]\npool = \"raw\"\n",
			s.pools["calm"][0].addr(), s.pools["calmraw"][0].addr(), web, raw),
	})
	if err != nil {
		return err, err
	}
	defer w.kill()
	descriptors = s.starve(ctx, w, web, raw)
	disk = s.fullDisk(ctx, w)
	if _, err := w.stop(patience); descriptors == nil {
		descriptors = err
	}
	return descriptors, disk
}

// starve brings more clients than Weir has descriptors. The L4 session that is there
// goes on, Weir does not spin, serves whom it can, and everybody when they are gone.
func (s *stage) starve(ctx context.Context, w *child, web, raw string) error {
	session := &stage{oracle: s.oracle, addr: map[string]string{"calmraw": raw}}
	echo, end := session.echoAsker()
	defer end()
	if err := echo(); err != nil {
		return err
	}
	crowd := make([]*client, smallCrowd)
	for i := range crowd {
		crowd[i] = &client{stage: s, addr: web, host: "a"}
		_, _ = crowd[i].begin("whole", 10) // it may be refused at once
	}
	defer func() {
		for _, c := range crowd {
			c.close()
		}
	}()
	before, err := w.cpu()
	if err != nil {
		return err
	}
	const watch = time.Second
	pause(ctx, watch)
	after, err := w.cpu()
	if err != nil {
		return err
	}
	if used := after - before; used > watch/2 {
		return fmt.Errorf("used %s of %s while out of descriptors", used, watch)
	}
	if err := echo(); err != nil {
		return fmt.Errorf("the session that was there: %w", err)
	}
	for _, c := range crowd {
		c.close()
	}
	start := time.Now()
	c := &client{stage: s, addr: web, host: "a", fresh: true}
	for c.do(request{how: "whole", n: 10}).class != right {
		if time.Since(start) > patience {
			return fmt.Errorf("nobody was served within %s after the crowd had gone", patience)
		}
		pause(ctx, retryPause)
	}
	if took, limit := time.Since(start), s.limit(time.Second); took > limit {
		return fmt.Errorf("recovery took %s, allowed %s here and now", round(took), round(limit))
	}
	return echo()
}

// fullDisk wants dropped lines to be counted, and nobody to have waited for them.
func (s *stage) fullDisk(ctx context.Context, w *child) error {
	for start := time.Now(); ; pause(ctx, retryPause) {
		m, err := w.metrics(ctx)
		if err != nil {
			return err
		}
		if m.sum("weir_accesslog_dropped_lines_total") > 0 {
			return nil
		}
		if time.Since(start) > patience {
			return fmt.Errorf("no dropped line was counted within %s", patience)
		}
	}
}
