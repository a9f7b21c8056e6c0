package main

import (
	"bytes"
	"fmt"
	"os"

	"github.com/alecthomas/kong"

	"weir/cmd/internal/engine"
	"weir/conf"
	"weir/pool/metric"
)

type docsCmd struct {
	Page   string `arg:"" enum:"config,metrics,cli" help:"config, metrics or cli."`
	Output string `short:"o" placeholder:"FILE" help:"Write to FILE instead of standard output."`
}

// Run prints a page in Markdown.
func (c *docsCmd) Run(o *output) error {
	var text []byte
	switch c.Page {
	case "config":
		text = conf.Reference()
	case "metrics":
		text = metric.Reference()
	case "cli":
		text = cliReference()
	}
	if c.Output == "" {
		return printText(o.stdout, string(text))
	}
	if err := os.WriteFile(c.Output, text, 0o644); err != nil {
		return fmt.Errorf("cannot write the page: %w", err)
	}
	return nil
}

type versionCmd struct {
	JSON bool `name:"json" help:"Print all that is known about the build as JSON."`
}

// Run prints the version.
func (c *versionCmd) Run(o *output) error {
	b := engine.ReadBuild()
	if c.JSON {
		return printJSON(o.stdout, b)
	}
	text := "weir " + b.Version
	if b.Revision != "" {
		text += " (" + b.Revision[:min(12, len(b.Revision))]
		if b.Modified {
			text += ", modified"
		}
		text += ")"
	}
	return printText(o.stdout, fmt.Sprintf("%s %s %s\n", text, b.Go, b.Platform))
}

// cliReference is docs/cli.md, written from the same definitions as --help.
func cliReference() []byte {
	parser, err := newParser(nil, nil)
	if err != nil {
		panic("BUG: the command line is defined wrongly: " + err.Error())
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Command line\n\nThis page is written by `weir docs cli`; do not edit it.\n\n%s\n\n", description)
	b.WriteString("| Command | |\n|---|---|\n")
	for _, n := range parser.Model.Children {
		fmt.Fprintf(&b, "| [`weir %s`](#weir-%s) | %s |\n", n.Name, n.Name, n.Help)
	}
	for _, n := range parser.Model.Children {
		writeCommand(&b, n)
		for _, sub := range n.Children {
			writeCommand(&b, sub)
		}
	}
	return b.Bytes()
}

func writeCommand(b *bytes.Buffer, n *kong.Node) {
	fmt.Fprintf(b, "\n## weir %s\n\n%s\n", n.Path(), n.Help)
	if n.Detail != "" {
		fmt.Fprintf(b, "\n%s\n", n.Detail)
	}
	if len(n.Positional)+len(n.Flags) == 0 {
		return
	}
	b.WriteString("\n| Argument | Meaning |\n|---|---|\n")
	for _, p := range n.Positional {
		fmt.Fprintf(b, "| `%s` | %s |\n", p.Summary(), p.Help)
	}
	for _, f := range n.Flags {
		if f.Name == "help" {
			continue
		}
		name := "--" + f.Name
		if !f.IsBool() {
			name += "=" + f.PlaceHolder
		}
		if f.Short != 0 {
			name = fmt.Sprintf("-%c, %s", f.Short, name)
		}
		fmt.Fprintf(b, "| `%s` | %s |\n", name, f.Help)
	}
}
