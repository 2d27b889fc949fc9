package main

import (
	"fmt"
	"slices"
	"strings"
)

// simulated is how many flows are simulated for each line.
const simulated = 5000

// report computes and simulates everything, and returns it as Markdown.
func report(c Costs) string {
	var b strings.Builder
	for _, m := range machines() {
		fmt.Fprintf(&b, "### %s\n\n", m.Name)
		flows := flowLimits(c, m)
		limits(&b, "flows: part", "a flow takes", "flows/s", flows)
		limits(&b, "live idle flows: part", "each takes", "live flows", liveLimits(c, m))
		limits(&b, "edges: part", "a GB takes", "GB/s", byteLimits(c, m))
		loads(&b, c, m, flows[0].carries())
	}
	return b.String()
}

func limits(b *strings.Builder, part, takes, unit string, all []limit) {
	fmt.Fprintf(b, "| %s | %s | of | carries, %s |\n|---|---|---|---|\n", part, takes, unit)
	for _, l := range all {
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", l.part, number(l.takes), number(l.has), number(l.carries()))
	}
	b.WriteString("\n")
}

// loads simulates flows at several shares of the lowest limit.
func loads(b *strings.Builder, c Costs, m Machine, limit float64) {
	b.WriteString("| load | flows/s offered | carried | submit → cleaned p50 | p99 | events server | other servers | EVENTS | busiest leader, its lock |\n" +
		"|---|---|---|---|---|---|---|---|---|\n")
	for _, share := range []float64{0.01, 0.5, 0.8, 0.95, 1.1} {
		cell := newCell(c, m)
		cell.flows(share*limit, simulated)
		name, busy := cell.busiest()
		fmt.Fprintf(b, "| %.0f %% | %s | %s | %s | %s | %s | %s | %s | %s %s |\n", 100*share, number(share*limit),
			number(cell.carried()), milliseconds(cell.quantile(0.5)), milliseconds(cell.quantile(0.99)),
			percent(cell.used(cell.servers[0])), percent(cell.used(cell.servers[1])), percent(cell.used(cell.events)),
			name, percent(busy))
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

// used is the share of time in which a station worked.
func (c *cell) used(s *station) float64 { return s.used / float64(s.workers) / c.now }

func (c *cell) busiest() (name string, used float64) {
	for _, s := range c.costs.Services {
		if u := c.used(c.leaders[s.Name].lock); u > used {
			name, used = s.Name, u
		}
	}
	return name, used
}

// number prints two significant digits, the precision of the inputs.
func number(v float64) string {
	switch {
	case v >= 1e9:
		return fmt.Sprintf("%.2g G", v/1e9)
	case v >= 1e6:
		return fmt.Sprintf("%.2g M", v/1e6)
	case v >= 1e3:
		return fmt.Sprintf("%.2g k", v/1e3)
	case v >= 10:
		return fmt.Sprintf("%.0f", v)
	case v >= 0.1:
		return fmt.Sprintf("%.2g", v)
	case v >= 1e-3:
		return fmt.Sprintf("%.2g m", v*1e3)
	}
	return fmt.Sprintf("%.2g µ", v*1e6)
}

func milliseconds(v float64) string { return fmt.Sprintf("%.2g ms", v*1e3) }
func percent(v float64) string      { return fmt.Sprintf("%.0f %%", v*100) }
