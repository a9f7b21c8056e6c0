package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"weir/cmd/internal/admin"
	"weir/cmd/internal/engine"
	"weir/conf"
)

// reloadTimeout is longer than the slowest name server makes a reload take.
const reloadTimeout = 2 * time.Minute

type checkCmd struct {
	Config string `short:"c" placeholder:"FILE" help:"Configuration file."`
	File   string `arg:"" optional:"" help:"The same, without -c."`
	JSON   bool   `name:"json" help:"Print the result as JSON."`
}

// Validate is called by kong.
func (c *checkCmd) Validate() error {
	if (c.Config == "") == (c.File == "") {
		return errors.New("expected one configuration file, as -c FILE or FILE")
	}
	return nil
}

// report is what check prints with --json.
type report struct {
	File     string        `json:"file"`
	OK       bool          `json:"ok"`
	Problems conf.Problems `json:"problems"`
	Warnings []string      `json:"warnings,omitempty"`
}

// Run checks the file.
func (c *checkCmd) Run(o *output) error {
	r := report{File: c.Config + c.File, Problems: conf.Problems{}}
	config, err := conf.Load(r.File)
	if err == nil {
		r.Warnings, err = engine.Check(config)
	}
	if err != nil && !errors.As(err, &r.Problems) {
		r.Problems = conf.Problems{{File: r.File, Message: err.Error()}}
	}
	r.OK = err == nil
	if c.JSON {
		err = printJSON(o.stdout, r)
	} else {
		err = r.print(o, config)
	}
	if err == nil && !r.OK {
		return errReported
	}
	return err
}

// print gives the human form: a good file on standard output, problems on standard error.
func (r *report) print(o *output, config *conf.Config) error {
	for _, w := range r.Warnings {
		_ = printText(o.stderr, "weir: warning: "+w+"\n")
	}
	if r.OK {
		return printText(o.stdout, fmt.Sprintf("%s: ok: %d pools, %d l4 and %d l7 listeners\n",
			r.File, len(config.Pools), len(config.L4), len(config.L7)))
	}
	s := "s"
	if len(r.Problems) == 1 {
		s = ""
	}
	return printText(o.stderr, fmt.Sprintf("%s\n\n%d problem%s\n", r.Problems.Error(), len(r.Problems), s))
}

type reloadCmd struct {
	Config string `short:"c" required:"" placeholder:"FILE" help:"Configuration file of the process."`
}

// Run asks the process that runs the file to read it again. A file with problems
// is not worth the question, and may not say where the process is.
func (c *reloadCmd) Run(o *output) error {
	config, err := conf.Load(c.Config)
	if err != nil {
		complain(o.stderr, err)
		_ = printText(o.stderr, "\nweir: not reloaded, the running configuration stays\n")
		return errReported
	}
	client, err := admin.Dial(config)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), reloadTimeout)
	defer cancel()
	version, err := client.Reload(ctx)
	if refused := (*admin.Refused)(nil); errors.As(err, &refused) {
		_ = printText(o.stderr, refused.Message+"\n\nweir: not reloaded, the running configuration stays\n")
		return errReported
	}
	if err != nil {
		return err
	}
	return printText(o.stdout, fmt.Sprintf("reloaded: configuration %d is in force\n", version))
}

func printJSON(w io.Writer, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot encode the answer: %w", err)
	}
	return printText(w, string(text)+"\n")
}
