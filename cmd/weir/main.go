// Command weir is a reverse proxy for TCP and HTTP. `weir --help` says how to use
// it, docs/cli.md is the same as a page.
//
// Rules of what it prints: errors go to standard error and begin with "weir: ",
// in lower case and without a final period; problems of a configuration file stand
// as they are, since they begin with the file's name. Standard output is for what
// was asked for; `weir run` leaves it to the access log.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/alecthomas/kong"

	"weir/conf"
)

// Exit codes, as docs/cli.md and --help give them.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	os.Exit(execute(os.Args[1:], os.Stdout, os.Stderr))
}

// output is where a command prints.
type output struct {
	stdout, stderr io.Writer
}

// errReported ends a command that has said already what is wrong.
var errReported = errors.New("reported")

// execute runs one command and returns the exit code.
func execute(args []string, stdout, stderr io.Writer) int {
	parser, err := newParser(stdout, stderr)
	if err != nil {
		panic("BUG: the command line is defined wrongly: " + err.Error())
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	ctx, err := parser.Parse(args)
	if err != nil {
		complain(stderr, err)
		_, _ = fmt.Fprintln(stderr, "weir: try weir --help")
		return exitUsage
	}
	if err := ctx.Run(&output{stdout, stderr}); err != nil {
		if !errors.Is(err, errReported) {
			complain(stderr, err)
		}
		return exitFailed
	}
	return exitOK
}

// newParser makes the parser for the commands of this file's cli.
func newParser(stdout, stderr io.Writer) (*kong.Kong, error) {
	return kong.New(&cli{},
		kong.Name("weir"),
		kong.Description(description),
		kong.Writers(stdout, stderr),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)
}

// complain prints an error. Problems of a file name the file themselves.
func complain(w io.Writer, err error) {
	if problems, ok := errors.AsType[conf.Problems](err); ok {
		_, _ = fmt.Fprintln(w, problems.Error())
		return
	}
	_, _ = fmt.Fprintln(w, "weir: "+err.Error())
}
