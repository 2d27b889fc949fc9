// Package suite defines what is measured: figures, each a set of variants. The variants are run in turn, round after
// round, so that other load on the machine affects all of them alike.
package suite

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Values are the results of one run of a variant, by series.
type Values map[string]float64

// A Figure is one measurement.
type Figure struct {
	Name string
	// How describes the measurement for the results page.
	How string
	// Rounds is how often each variant is run; 0 means the suite's default.
	Rounds   int
	Variants []Variant
	Rows     []Row
}

// A Variant is one implementation: ours, or a reference.
type Variant struct {
	Name string
	Run  func(*Run) (Values, error)
}

// A Row is a line of the results table: one series, its reference and its goal.
type Row struct {
	Label     string
	Ours, Ref string // series; Ref is "" if the goal is absolute
	Unit      Unit
	Goal      Goal
}

// A Goal is the target of a row. The zero value means no target.
type Goal struct {
	// AtLeast or AtMost limits the ratio to the reference, or the value if there is no reference.
	AtLeast, AtMost float64
	// Text is the goal as shown on the page.
	Text string
}

// Met reports whether the goal is met; asked is false if there is none.
func (g Goal) Met(v float64) (met, asked bool) {
	switch {
	case g.AtLeast > 0:
		return v >= g.AtLeast, true
	case g.AtMost > 0:
		return v <= g.AtMost, true
	}
	return false, false
}

// A Unit formats the values of a series.
type Unit func(float64) string

// PerSecond formats records per second.
func PerSecond(what string) Unit {
	return func(v float64) string {
		switch {
		case v >= 1e6:
			return fmt.Sprintf("%.2f M %s/s", v/1e6, what)
		case v >= 1e4:
			return fmt.Sprintf("%.0f k %s/s", v/1e3, what)
		}
		return fmt.Sprintf("%.0f %s/s", v, what)
	}
}

// Octets formats bytes per second.
func Octets(v float64) string { return fmt.Sprintf("%.0f MB/s", v/1e6) }

// Size formats a number of bytes.
func Size(v float64) string {
	if v < 1<<20 {
		return fmt.Sprintf("%.1f KiB", v/(1<<10))
	}
	return fmt.Sprintf("%.2f MiB", v/(1<<20))
}

// Seconds formats a duration.
func Seconds(v float64) string {
	d := time.Duration(v * float64(time.Second))
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%.0f µs", v*1e6)
	case d < time.Second:
		return fmt.Sprintf("%.1f ms", v*1e3)
	}
	return fmt.Sprintf("%.2f s", v)
}

// Plain formats a number.
func Plain(v float64) string { return fmt.Sprintf("%.3g", v) }

// An Outcome is the result of a figure.
type Outcome struct {
	Figure Figure   `json:"-"`
	Name   string   `json:"figure"`
	Rounds []Values `json:"rounds"`
	// Failures are the errors by variant, in the order in which they occurred.
	Failures []string `json:"failures,omitempty"`
}

// A Line is a row with its values.
type Line struct {
	Row
	Value, Reference float64
	// Ratio is the ratio of the medians; Least and Most are those of single rounds.
	Ratio, Least, Most float64
	// Known and KnownRef report whether there are values.
	Known, KnownRef bool
}

// Lines returns the rows with the medians of their series.
func (o Outcome) Lines() []Line {
	var out []Line
	for _, r := range o.Figure.Rows {
		l := Line{Row: r}
		l.Value, l.Known = o.Median(r.Ours)
		l.Reference, l.KnownRef = o.Median(r.Ref)
		if l.Known && l.KnownRef {
			l.Ratio = l.Value / l.Reference
			l.Least, l.Most = o.ratios(r)
		}
		out = append(out, l)
	}
	return out
}

func (o Outcome) ratios(r Row) (least, most float64) {
	var all []float64
	for _, v := range o.Rounds {
		ours, ok := v[r.Ours]
		ref, both := v[r.Ref]
		if ok && both {
			all = append(all, ours/ref)
		}
	}
	if len(all) == 0 {
		return 0, 0
	}
	return slices.Min(all), slices.Max(all)
}

// Median returns the median of a series over all rounds with a value.
func (o Outcome) Median(series string) (float64, bool) {
	var all []float64
	for _, v := range o.Rounds {
		if x, ok := v[series]; ok {
			all = append(all, x)
		}
	}
	if len(all) == 0 {
		return 0, false
	}
	return median(all), true
}

func median(all []float64) float64 {
	sorted := slices.SortedFunc(slices.Values(all), cmp.Compare[float64])
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
