// Command bench-report turns what weir bench compare has measured into two pages:
// one for docs, and one with plots that needs nothing beside itself.
//
//	go run ./cmd/bench-report weir-bench.json
//
// It is a program of its own because the plotting library brings its fonts: in
// weir they would cost each running proxy megabytes of memory.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"weir/bench/report"
)

func main() { os.Exit(execute(os.Args[1:], os.Stderr)) }

// execute returns the exit code: 0 done, 1 failed, 2 the command line is wrong.
func execute(args []string, stderr io.Writer) int {
	flags := flag.NewFlagSet("bench-report", flag.ContinueOnError)
	flags.SetOutput(stderr)
	markdown := flags.String("markdown", "docs/benchmarks.md", "the page for docs")
	html := flags.String("html", "docs/benchmarks.html", "the page with plots")
	flags.Usage = func() {
		_, _ = fmt.Fprintln(stderr, "usage: bench-report [--markdown FILE] [--html FILE] RESULTS.json")
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil || flags.NArg() != 1 {
		if err == nil {
			flags.Usage()
		}
		return 2
	}
	if err := write(flags.Arg(0), *markdown, *html); err != nil {
		_, _ = fmt.Fprintln(stderr, "bench-report: "+err.Error())
		return 1
	}
	return 0
}

func write(results, markdown, html string) error {
	d, err := report.Read(results)
	if err != nil {
		return err
	}
	command := "go run ./cmd/bench-report " + filepath.Base(results)
	page, err := htmlPage(d, command)
	if err != nil {
		return err
	}
	if err := os.WriteFile(html, page, 0o644); err != nil {
		return fmt.Errorf("cannot write the page with plots: %w", err)
	}
	if err := os.WriteFile(markdown, d.Markdown(command, filepath.Base(html)), 0o644); err != nil {
		return fmt.Errorf("cannot write the page: %w", err)
	}
	return nil
}
