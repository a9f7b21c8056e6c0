package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"weir/cmd/internal/admin"
	"weir/conf"
	"weir/l7"
)

// cacheTimeout is longer than the process may take to go through what it has stored.
const cacheTimeout = 30 * time.Second

type cacheCmd struct {
	Stats cacheStatsCmd `cmd:"" help:"Show what a running Weir has stored, and how often that was of use."`
	Purge cachePurgeCmd `cmd:"" help:"Drop stored responses of a running Weir."`
}

type cacheStatsCmd struct {
	Config string `short:"c" required:"" placeholder:"FILE" help:"Configuration file of the process."`
	JSON   bool   `name:"json" help:"Print the result as JSON."`
}

// dialAdmin finds the process that runs the file.
func dialAdmin(file string) (*admin.Client, error) {
	config, err := conf.Load(file)
	if err != nil {
		return nil, err
	}
	return admin.Dial(config)
}

// Run asks and prints.
func (c *cacheStatsCmd) Run(o *output) error {
	client, err := dialAdmin(c.Config)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), cacheTimeout)
	defer cancel()
	status, err := client.CacheStatus(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(o.stdout, status)
	}
	return printText(o.stdout, cacheText(&status))
}

// cacheText lays it out for people.
func cacheText(s *l7.CacheStatus) string {
	var b strings.Builder
	fmt.Fprintf(&b, "objects  %d\nmemory   %s of %s\n", s.Objects, conf.Size(s.Memory), conf.Size(s.MemoryLimit))
	fmt.Fprintf(&b, "evicted  %d\nfetches  %d under way, %d requests wait for them\n",
		s.Evictions, s.Fetches, s.Waiting)
	if d := s.Disk; d != nil {
		fmt.Fprintf(&b, "disk     %d objects, %s of %s in %s%s\n",
			d.Objects, conf.Size(d.Bytes), conf.Size(d.Limit), d.Path, diskState(d))
	}
	if len(s.Routes) == 0 {
		return b.String() + "no route has a cache\n"
	}
	b.WriteByte('\n')
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "LISTENER\tROUTE\tREQUESTS\tHIT RATIO\tHIT\tSTALE\tREVALIDATED\tMISS\tBYPASS\tERROR")
	for i := range s.Routes {
		r := &s.Routes[i]
		_, _ = fmt.Fprintf(w, "%s\t%s\t%d\t%.1f %%\t%d\t%d\t%d\t%d\t%d\t%d\n", r.Listener, r.Route, r.Requests,
			100*r.HitRatio, r.Hits, r.Stale, r.Revalidated, r.Misses, r.Bypassed, r.Errors)
	}
	_ = w.Flush() // a strings.Builder takes everything
	return b.String()
}

// diskState says what is the matter with the directory, if something is.
func diskState(d *l7.CacheDiskStatus) string {
	var state string
	switch {
	case d.Waiting:
		state = "; not in use yet, another process may have it"
	case !d.Ready:
		state = "; being read"
	}
	for _, cause := range slices.Sorted(maps.Keys(d.Errors)) {
		state += fmt.Sprintf("; %d errors: %s", d.Errors[cause], cause)
	}
	return state
}

type cachePurgeCmd struct {
	Config string   `short:"c" required:"" placeholder:"FILE" help:"Configuration file of the process."`
	URL    []string `arg:"" optional:"" placeholder:"URL" help:"URLs, with all their variants."`
	Prefix string   `placeholder:"URL" help:"All URLs that begin so, as https://www.example.com/images/."`
	Host   string   `placeholder:"NAME" help:"Everything of this host, with both schemes."`
	Tag    string   `placeholder:"TAG" help:"What has this tag in Surrogate-Key, Cache-Tag or Cache-Groups."`
	All    bool     `help:"Everything."`
	Soft   bool     `help:"Do not drop it but take it for stale: the next request for it asks a server."`
}

// purges are what the flags mean, one by one.
func (c *cachePurgeCmd) purges() []l7.Purge {
	var all []l7.Purge
	for _, u := range c.URL {
		all = append(all, l7.Purge{URL: u, Soft: c.Soft})
	}
	if p := (l7.Purge{Prefix: c.Prefix, Host: c.Host, Tag: c.Tag, All: c.All, Soft: c.Soft}); p.By() != "" ||
		len(all) == 0 {
		all = append(all, p)
	}
	return all
}

// Validate is called by kong.
func (c *cachePurgeCmd) Validate() error {
	for _, p := range c.purges() {
		if err := p.Check(); err != nil {
			return fmt.Errorf("%w (see weir cache purge --help)", err)
		}
	}
	return nil
}

// Run drops and says how much there was.
func (c *cachePurgeCmd) Run(o *output) error {
	client, err := dialAdmin(c.Config)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), cacheTimeout)
	defer cancel()
	total := 0
	for _, p := range c.purges() {
		n, err := client.PurgeCache(ctx, p)
		if err != nil {
			return err
		}
		total += n
	}
	return printText(o.stdout, fmt.Sprintf("purged: %d\n", total))
}
