package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// simulated is how many flows are simulated for each line.
const simulated = 6_000

// report computes and simulates everything, and returns it as Markdown.
func report(c Costs) string {
	var b strings.Builder
	inputs(&b, c)
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

// inputs lists the measured inputs.
func inputs(b *strings.Builder, c Costs) {
	fmt.Fprintf(b, "### Inputs, measured on %s\n\n| a flow takes | leader or events server | follower or other server |\n|---|---|---|\n",
		c.Began.Format(time.DateOnly))
	fmt.Fprintf(b, "| nats-server | %s | %s |\n", seconds(c.EventsServer), seconds(c.OtherServer))
	for _, s := range c.Services {
		fmt.Fprintf(b, "| %s | %s | %s |\n", s.Name, seconds(s.Leader), seconds(s.Follower))
	}
	fmt.Fprintf(b, "\n| | |\n|---|---|\n| writes to a stream with three replicas | %s/s |\n", digits(c.WriteRate))
	fmt.Fprintf(b, "| bytes of a flow in EVENTS, in JOBS, in all published messages | %s, %s, %s |\n",
		size(c.EventBytes), size(c.JobBytes), size(c.Published))
	fmt.Fprintf(b, "| CPU time of a GB: both ends on one server, on two | %s, %s |\n\n", seconds(c.SamePerGB), seconds(c.RoutePerGB))
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
	if v == 0 || math.IsInf(v, 0) {
		return fmt.Sprint(v)
	}
	rounded, err := strconv.ParseFloat(strconv.FormatFloat(v, 'e', 1, 64), 64)
	if err != nil { // it reads what it has written
		panic(err)
	}
	decimals := max(0, 1-int(math.Floor(math.Log10(math.Abs(rounded)))))
	return thousands(strconv.FormatFloat(rounded, 'f', decimals, 64))
}

// thousands separates the thousands of a number that has no decimals if it is that large.
func thousands(s string) string {
	for i := len(s) - 3; i > 0 && !strings.Contains(s, "."); i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func percent(v float64) string { return fmt.Sprintf("%.0f %%", v*100) }
