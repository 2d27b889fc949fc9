package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// simulated is how many flows are simulated for each line.
const simulated = 4_000

// report computes and simulates everything, and returns it as Markdown.
func report(c Costs) string {
	var b strings.Builder
	for _, m := range machines() {
		fmt.Fprintf(&b, "### %s\n\n", m.Name)
		flows := flowLimits(c, m)
		limits(&b, "Flows", "a flow takes", "flows/s", flows)
		loads(&b, c, m, flows[0].carries())
		limits(&b, "Live idle flows", "each takes", "live flows", liveLimits(c, m))
		limits(&b, "Bytes over edges", "a GB takes", "GB/s", byteLimits(c, m))
	}
	return b.String()
}

func limits(b *strings.Builder, what, takes, unit string, all []limit) {
	fmt.Fprintf(b, "| %s: limit | %s | of | %s |\n|---|---|---|---|\n", what, takes, unit)
	for _, l := range all {
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", l.part, l.unit(l.takes), l.description, digits(l.carries()))
	}
	b.WriteString("\n")
}

// loads simulates flows at several shares of the lowest limit.
func loads(b *strings.Builder, c Costs, m Machine, limit float64) {
	b.WriteString("| Simulated: load | flows/s offered | carried | submit → cleaned p50 | p99 | cores of the events server | of the others | " +
		"writes to EVENTS | network | busiest leader |\n|---|---|---|---|---|---|---|---|---|---|\n")
	for _, share := range []float64{0.01, 0.5, 0.8, 0.95, 1.1} {
		cell := newCell(c, m)
		cell.flows(share*limit, simulated)
		name, busy := cell.busiest()
		p50, p99 := seconds(cell.quantile(0.5)), seconds(cell.quantile(0.99))
		if share > 1 {
			p50, p99 = "grows", "grows"
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s %s |\n", percent(share), digits(share*limit),
			digits(cell.carried()), p50, p99, percent(cell.used(cell.servers[0])), percent(cell.used(cell.servers[1])),
			percent(cell.used(cell.events)), percent(cell.used(cell.network)), name, percent(busy))
	}
	b.WriteString("\n")
}

// carried is the flows per second that ended in the middle half of the time.
func (c *cell) carried() float64 {
	n := len(c.done)
	return float64(n/2) / (c.done[n*3/4] - c.done[n/4])
}

func (c *cell) quantile(q float64) float64 {
	slices.Sort(c.took)
	return c.took[int(q*float64(len(c.took)))]
}

// used is the share of time in which the workers of a station worked.
func (c *cell) used(s *station) float64 { return s.used / float64(s.workers) / c.now }

func (c *cell) busiest() (name string, used float64) {
	for _, s := range c.costs.Services {
		if u := c.used(c.leaders[s.Name].serial); u > used {
			name, used = s.Name, u
		}
	}
	return name, used
}

// A unit formats a quantity with two digits: the inputs are no more precise.
type unit func(float64) string

func seconds(v float64) string {
	switch {
	case v < 1e-3:
		return digits(v*1e6) + " µs"
	case v < 1:
		return digits(v*1e3) + " ms"
	}
	return digits(v) + " s"
}

func size(v float64) string {
	switch {
	case v < 1e3:
		return digits(v) + " B"
	case v < 1e6:
		return digits(v/1e3) + " kB"
	case v < 1e9:
		return digits(v/1e6) + " MB"
	}
	return digits(v/1e9) + " GB"
}

func digits(v float64) string {
	if v == 0 {
		return "0"
	}
	unit := math.Pow(10, math.Floor(math.Log10(math.Abs(v)))-1)
	rounded := math.Round(v/unit) * unit
	decimals := max(0, -int(math.Round(math.Log10(unit))))
	return strconv.FormatFloat(rounded, 'f', decimals, 64)
}

func percent(v float64) string { return fmt.Sprintf("%.0f %%", v*100) }
