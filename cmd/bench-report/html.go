package main

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"

	"weir/bench/report"
)

//go:embed page.html
var pages embed.FS

// page is what the template knows.
type page struct {
	Title     string
	Intro     [][2]string
	Plots     []template.HTML
	Scenarios []section
	Reproduce string
}

type section struct {
	Name, Shows, Job, Under, Command, Load string
	Tables                                 []report.Table
	Plots                                  []template.HTML
}

// htmlPage gives a page that needs nothing beside itself.
func htmlPage(d *report.Document, reproduce string) ([]byte, error) {
	p := page{Title: report.Title, Intro: d.Intro(), Reproduce: reproduce}
	var plots figures
	plots.add(costPlot(d, report.Requests, "µs", 1))
	plots.add(costPlot(d, report.Gigabytes, "s", 1e-6))
	p.Plots = plots.drawn
	for i := range d.Scenarios {
		s := &d.Scenarios[i]
		sec := section{
			Name: s.Name, Shows: s.Shows, Job: s.Job, Under: s.Under(), Command: s.Command, Load: s.Load,
			Tables: s.Tables(),
		}
		own := figures{err: plots.err}
		if s.Idle() {
			own.add(memoryPlot(s))
		} else {
			own.add(latencyPlot(s, "closed loop"))
			for _, l := range s.Levels {
				own.add(latencyPlot(s.At(l), fmt.Sprintf("open loop at %.0f/s", l.Due)))
			}
			own.add(sweepPlot(s))
		}
		sec.Plots, plots.err = own.drawn, own.err
		p.Scenarios = append(p.Scenarios, sec)
	}
	if plots.err != nil {
		return nil, plots.err
	}
	t, err := template.ParseFS(pages, "page.html")
	if err != nil {
		return nil, fmt.Errorf("cannot write the page: %w", err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, p); err != nil {
		return nil, fmt.Errorf("cannot write the page: %w", err)
	}
	return b.Bytes(), nil
}

// figures collects plots until one cannot be drawn.
type figures struct {
	drawn []template.HTML
	err   error
}

func (f *figures) add(image []byte, err error) {
	if f.err == nil {
		f.err = err
	}
	if f.err == nil && image != nil {
		f.drawn = append(f.drawn, template.HTML(image)) // we have drawn it
	}
}
