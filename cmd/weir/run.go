package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"weir/cmd/internal/demo"
	"weir/cmd/internal/engine"
)

type runCmd struct {
	Config string `short:"c" required:"" placeholder:"FILE" help:"Configuration file."`
	Watch  bool   `help:"Reload when the file, or a certificate it names, changes."`
}

// Run serves until a signal ends it.
func (c *runCmd) Run(o *output) error {
	opts := engine.Options{File: c.Config, Watch: c.Watch, Stderr: o.stderr}
	return engine.Run(context.Background(), opts, func(e *engine.Engine) {
		printListeners(e.Output(), e) // standard output may be the access log
	})
}

type proxyCmd struct {
	HTTP string   `name:"http" xor:"kind" required:"" placeholder:"LISTEN" help:"Address to serve HTTP on, as :8080."`
	TCP  string   `name:"tcp" xor:"kind" required:"" placeholder:"LISTEN" help:"Address to pass TCP through from."`
	To   []string `required:"" placeholder:"ADDR" help:"Servers, HOST:PORT or unix:PATH; several with commas."`
}

// Run serves until a signal ends it.
func (c *proxyCmd) Run(o *output) error {
	kind, listen := "http", c.HTTP
	if listen == "" {
		kind, listen = "tcp", c.TCP
	}
	config, err := engine.Quick(kind, listen, c.To)
	if err != nil {
		return err
	}
	opts := engine.Options{Config: config, Stderr: o.stderr}
	return engine.Run(context.Background(), opts, func(e *engine.Engine) { printListeners(o.stdout, e) })
}

// maxPortBase leaves room for four ports.
const maxPortBase = 65535 - 3

type demoCmd struct {
	PortBase    int  `placeholder:"N" default:"-1" help:"First of four ports, 0: any. Without: 8080, 8443, 7000, 9901."`
	PrintConfig bool `help:"Print the configuration of the demo and exit."`
}

// Validate is called by kong.
func (c *demoCmd) Validate() error {
	if c.PortBase < -1 || c.PortBase > maxPortBase {
		return fmt.Errorf("--port-base: %d is not within 0 and %d", c.PortBase, maxPortBase)
	}
	return nil
}

// Run serves until a signal ends it.
func (c *demoCmd) Run(o *output) (err error) {
	ports := demo.DefaultPorts()
	if c.PortBase >= 0 {
		ports = demo.PortsFrom(c.PortBase)
	}
	d, err := demo.Start(ports)
	if err != nil {
		return err
	}
	defer func() {
		if e := d.Close(); err == nil {
			err = e
		}
	}()
	if c.PrintConfig {
		return printText(o.stdout, d.Example())
	}
	opts := engine.Options{Config: d.Config, Stderr: o.stderr}
	return engine.Run(context.Background(), opts, func(e *engine.Engine) {
		printListeners(o.stdout, e)
		for _, n := range d.Notes {
			_ = printText(o.stdout, "note: "+n+"\n")
		}
		_ = printText(o.stdout, "\n"+d.Guide()+"\nCtrl-C ends it.\n")
	})
}

// printListeners says which listeners serve where.
func printListeners(w io.Writer, e *engine.Engine) {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, l := range e.Listeners() {
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", l.Layer, l.Name, l.Addr, l.Note)
	}
	_ = t.Flush() // nobody may be reading; that is no reason not to serve
}

func printText(w io.Writer, text string) error {
	if _, err := io.WriteString(w, text); err != nil {
		return fmt.Errorf("cannot print: %w", err)
	}
	return nil
}
