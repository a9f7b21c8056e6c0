package main

import (
	"bytes"
	"cmp"
	"fmt"
	"image/color"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"

	"weir/bench/report"
)

const (
	plotWidth  = 6.4 * vg.Inch
	plotHeight = 3.4 * vg.Inch
)

// colours tell the proxies apart, also for those who see few (after Okabe and Ito).
var colours = []struct {
	name string
	rgb  color.RGBA
}{
	{"weir", color.RGBA{0xd5, 0x5e, 0x00, 0xff}},
	{"nginx", color.RGBA{0x00, 0x9e, 0x73, 0xff}},
	{"haproxy", color.RGBA{0x00, 0x72, 0xb2, 0xff}},
	{"caddy", color.RGBA{0xcc, 0x79, 0xa7, 0xff}},
	{"traefik", color.RGBA{0xe6, 0x9f, 0x00, 0xff}},
}

func colourOf(name string) color.RGBA {
	for _, c := range colours {
		if c.name == name {
			return c.rgb
		}
	}
	return color.RGBA{0x66, 0x66, 0x66, 0xff}
}

// svg draws a plot, without the declaration that HTML does not want.
func svg(p *plot.Plot) ([]byte, error) {
	canvas := vgsvg.New(plotWidth, plotHeight)
	p.Draw(draw.New(canvas))
	var b bytes.Buffer
	if _, err := canvas.WriteTo(&b); err != nil {
		return nil, fmt.Errorf("cannot draw a plot: %w", err)
	}
	text := b.Bytes()
	if i := bytes.Index(text, []byte("<svg")); i > 0 {
		text = text[i:]
	}
	return bytes.TrimSpace(text), nil
}

func newPlot(titleText, x, y string) *plot.Plot {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = titleText, x, y
	p.Legend.Top, p.Legend.Left = true, true
	p.Add(plotter.NewGrid())
	return p
}

// addLine draws the points of one proxy.
func addLine(p *plot.Plot, name string, points plotter.XYs) error {
	if len(points) == 0 {
		return nil
	}
	line, dots, err := plotter.NewLinePoints(points)
	if err != nil {
		return fmt.Errorf("cannot draw %s: %w", name, err)
	}
	line.Color, dots.Color = colourOf(name), colourOf(name)
	line.Width, dots.Radius, dots.Shape = vg.Points(1.5), vg.Points(1.8), draw.CircleGlyph{}
	p.Add(line, dots)
	p.Legend.Add(name, line)
	return nil
}

// decades makes a logarithmic axis begin and end at powers of ten, which have labels.
func decades(p *plot.Plot) {
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	if p.Y.Min > 0 && p.Y.Max >= p.Y.Min {
		p.Y.Min = math.Pow(10, math.Floor(math.Log10(p.Y.Min)))
		p.Y.Max = math.Pow(10, math.Ceil(math.Log10(p.Y.Max)))
	}
}

// nines spreads the tail: 0.9 is 1, 0.99 is 2, 0.999 is 3.
func nines(quantile float64) float64 { return -math.Log10(1 - quantile) }

// latencyPlot shows the distribution of the middle round of each proxy.
func latencyPlot(s *report.Scenario, how string) ([]byte, error) {
	p := newPlot("latency distribution ("+how+")", "share of requests", "µs")
	p.X.Tick.Marker = plot.ConstantTicks{
		{Value: 0, Label: "0"},
		{Value: nines(0.5), Label: "50%"},
		{Value: 1, Label: "90%"},
		{Value: 2, Label: "99%"},
		{Value: 3, Label: "99.9%"},
		{Value: 4, Label: "99.99%"},
		{Value: 5, Label: "99.999%"},
	}
	drawn := false
	for i := range s.Proxies {
		var points plotter.XYs
		for _, c := range s.Proxies[i].Middle().Curve {
			if c.Quantile < 1 && c.Value > 0 {
				points = append(points, plotter.XY{X: nines(c.Quantile), Y: c.Value})
			}
		}
		drawn = drawn || len(points) > 1
		if err := addLine(p, s.Proxies[i].Name, points); err != nil {
			return nil, err
		}
	}
	if !drawn {
		return nil, nil
	}
	decades(p)
	return svg(p)
}

// memoryPlot shows memory by the number of connections.
func memoryPlot(s *report.Scenario) ([]byte, error) {
	p := newPlot("memory of idle connections", "connections", "MiB")
	for i := range s.Proxies {
		var counts []int
		for _, m := range s.Proxies[i].Memory {
			if !slices.Contains(counts, m.Connections) {
				counts = append(counts, m.Connections)
			}
		}
		slices.Sort(counts)
		var points plotter.XYs
		for _, n := range counts {
			points = append(points, plotter.XY{X: float64(n), Y: s.Proxies[i].MemoryAt(n).Median / (1 << 20)})
		}
		if err := addLine(p, s.Proxies[i].Name, points); err != nil {
			return nil, err
		}
	}
	return svg(p)
}

// sweepPlot shows p99 against throughput where there are several rates; else nil.
func sweepPlot(s *report.Scenario) ([]byte, error) {
	p := newPlot("throughput against latency (open loop)", s.Unit+"s answered per second", "p99, µs")
	drawn := false
	for i := range s.Proxies {
		var points plotter.XYs
		for _, l := range s.Levels {
			for _, f := range s.At(l).Figures()[i : i+1] {
				points = append(points, plotter.XY{X: f.Rate.Median, Y: f.P99.Median})
			}
		}
		for _, r := range s.Proxies[i].Sweep {
			points = append(points, plotter.XY{X: r.Rate, Y: r.P99})
		}
		points = slices.DeleteFunc(points, func(p plotter.XY) bool { return p.Y <= 0 })
		slices.SortFunc(points, func(a, b plotter.XY) int { return cmp.Compare(a.X, b.X) })
		drawn = drawn || len(points) > 1
		if err := addLine(p, s.Proxies[i].Name, points); err != nil {
			return nil, err
		}
	}
	if !drawn {
		return nil, nil
	}
	decades(p)
	return svg(p)
}

// costPlot shows CPU per unit of all scenarios in one unit, side by side.
func costPlot(d *report.Document, unit, name string, scale float64) ([]byte, error) {
	p := newPlot("CPU per "+unit, "", name)
	p.Y.Min = 0
	var scenarios []*report.Scenario
	var labels []string
	var proxies []string
	for i := range d.Scenarios {
		s := &d.Scenarios[i]
		if s.Unit != unit {
			continue
		}
		scenarios, labels = append(scenarios, s), append(labels, s.Name)
		for _, x := range s.Proxies {
			if !slices.Contains(proxies, x.Name) {
				proxies = append(proxies, x.Name)
			}
		}
	}
	if len(scenarios) == 0 {
		return nil, nil
	}
	width := vg.Length(0.7) * plotWidth / vg.Length(len(scenarios)*len(proxies)+1)
	for i, name := range proxies {
		values := make(plotter.Values, len(scenarios))
		for j, s := range scenarios {
			for _, f := range s.Figures() {
				if f.Name == name {
					values[j] = f.CPU.Median * scale
				}
			}
		}
		bars, err := plotter.NewBarChart(values, width)
		if err != nil {
			return nil, fmt.Errorf("cannot draw %s: %w", name, err)
		}
		bars.Color, bars.LineStyle.Width = colourOf(name), 0
		bars.Offset = width * (vg.Length(i) - vg.Length(len(proxies)-1)/2)
		p.Add(bars)
		p.Legend.Add(name, bars)
	}
	p.NominalX(labels...)
	if len(labels) > 4 {
		p.X.Tick.Label.Rotation = math.Pi / 7
		p.X.Tick.Label.XAlign, p.X.Tick.Label.YAlign = draw.XRight, draw.YCenter
	}
	return svg(p)
}
