package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"weir/cmd/internal/admin"
	"weir/conf"
)

// sessionsTimeout is longer than the process may take to go through its sessions.
const sessionsTimeout = 30 * time.Second

type sessionsCmd struct {
	List  sessionsListCmd  `cmd:"" help:"List the live L4 sessions, WebSockets and CONNECT tunnels of a running Weir."`
	Close sessionsCloseCmd `cmd:"" help:"Reset live L4 sessions and tunnels of a running Weir."`
}

// sessionFilter are the flags that choose sessions.
type sessionFilter struct {
	Config   string        `short:"c" required:"" placeholder:"FILE" help:"Configuration file of the process."`
	Listener string        `placeholder:"NAME" help:"Only those of this listener."`
	Pool     string        `placeholder:"NAME" help:"Only those of this pool."`
	Backend  string        `placeholder:"ADDR" help:"Only those to this server, as the list shows it."`
	Client   string        `placeholder:"NETWORK" help:"Only those of this address or network, as 10.0.0.0/8."`
	MinAge   time.Duration `placeholder:"TIME" help:"Only those that are at least so old."`
}

func (f *sessionFilter) filter() admin.SessionFilter {
	out := admin.SessionFilter{Listener: f.Listener, Pool: f.Pool, Backend: f.Backend, Client: f.Client}
	if f.MinAge > 0 {
		out.MinAge = f.MinAge.String()
	}
	return out
}

// dial finds the process that runs the file.
func (f *sessionFilter) dial() (*admin.Client, error) {
	config, err := conf.Load(f.Config)
	if err != nil {
		return nil, err
	}
	return admin.Dial(config)
}

type sessionsListCmd struct {
	sessionFilter
	Limit int  `default:"100" placeholder:"N" help:"The most that are listed, the youngest first; 0: all."`
	JSON  bool `name:"json" help:"Print the sessions as JSON."`
}

// pageLimit is the most that one answer of the API has.
const pageLimit = 1000

// Run asks page by page and prints.
func (c *sessionsListCmd) Run(o *output) error {
	client, err := c.dial()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), sessionsTimeout)
	defer cancel()
	all := []admin.SessionStatus{}
	more := true
	for after := uint64(0); more && (c.Limit <= 0 || len(all) < c.Limit); {
		limit := pageLimit
		if c.Limit > 0 {
			limit = min(limit, c.Limit-len(all))
		}
		page, err := client.Sessions(ctx, c.filter(), after, limit)
		if err != nil {
			return err
		}
		all = append(all, page.Sessions...)
		after = page.Next
		more = after != 0
	}
	if c.JSON {
		return printJSON(o.stdout, all)
	}
	if err := printText(o.stdout, sessionTable(all)); err != nil {
		return err
	}
	if more {
		return printText(o.stderr, "weir: there are more, see --limit\n")
	}
	return nil
}

// sessionTable lays the sessions out for people.
func sessionTable(all []admin.SessionStatus) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "ID\tKIND\tLISTENER\tNET\tCLIENT\tSNI\tBACKEND\tSTATE\tAGE\tIDLE\tIN\tOUT")
	for i := range all {
		s := &all[i]
		_, _ = fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\n",
			s.ID, s.Kind, s.Listener, s.Network, orDash(s.Client), orDash(s.SNI), orDash(s.Backend), s.State,
			inSeconds(s.Age), inSeconds(s.Idle), s.BytesIn, s.BytesOut)
	}
	_ = w.Flush() // a strings.Builder takes everything
	return b.String()
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func inSeconds(s float64) string {
	return (time.Duration(s) * time.Second).String()
}

type sessionsCloseCmd struct {
	sessionFilter
	ID []uint64 `arg:"" optional:"" placeholder:"ID" help:"Sessions by id, instead of the flags that choose."`
}

// Validate is called by kong.
func (c *sessionsCloseCmd) Validate() error {
	if filtered := c.filter() != (admin.SessionFilter{}); filtered == (len(c.ID) > 0) {
		return errors.New("expected ids, or at least one of --listener, --pool, --backend, --client and --min-age")
	}
	return nil
}

// Run asks for the end of the sessions and says how many there were.
func (c *sessionsCloseCmd) Run(o *output) error {
	client, err := c.dial()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), sessionsTimeout)
	defer cancel()
	n := len(c.ID)
	for _, id := range c.ID {
		if err := client.CloseSession(ctx, id); err != nil {
			return err
		}
	}
	if n == 0 {
		if n, err = client.CloseSessions(ctx, c.filter()); err != nil {
			return err
		}
	}
	return printText(o.stdout, fmt.Sprintf("closed: %d\n", n))
}
