package report

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
)

// Verdict writes how a flow ended. read holds the counts of records that this client read, by output: the
// verdict event does not contain them. Names of edges are shortened to fit the columns of a terminal; 0 means no
// terminal.
func Verdict(w io.Writer, columns int, e contract.Event, read map[string]contract.OutputCount) {
	flow := e.Subject
	switch d := e.Data.(type) {
	case *contract.FlowCompleted:
		fmt.Fprintf(w, "flow %s completed in %s: %s\n", flow, span(d.Duration.D()),
			document.Count(d.Jobs, "job"))
		edges(w, columns, d.Edges, read)
	case *contract.FlowPanic:
		fmt.Fprintf(w, "flow %s panicked after %s\n", flow, span(d.Duration.D()))
		failures(w, append([]contract.JobFailure{d.Cause}, d.Others...))
		jobs(w, d.Jobs)
		edges(w, columns, d.Edges, read)
	case *contract.FlowCancelled:
		fmt.Fprintf(w, "flow %s was cancelled after %s %s%s\n", flow, span(d.Duration.D()),
			clean(canceller(d.By, d.Source)), reason(clean(d.Reason)))
		jobs(w, d.Jobs)
		edges(w, columns, d.Edges, read)
	case *contract.FlowRejected:
		fmt.Fprintf(w, "flow %s was rejected: %s\n", flow,
			document.Count(len(d.Problems), "problem"))
		Problems(w, d.Problems)
	}
}

// canceller says who cancelled a flow. Without a proof, that is only what the sender of the cancel said.
func canceller(by, source string) string {
	switch {
	case by != "":
		return "by " + by
	case source != "":
		return "by " + source + " (not proven)"
	}
	return "by an unknown sender"
}

// failures writes the first cause, and the failures after it.
func failures(w io.Writer, all []contract.JobFailure) {
	for i, f := range all[:min(len(all), maxRows)] {
		head := "then"
		if i == 0 {
			head = "cause"
		}
		fmt.Fprintf(w, "  %s: %s: %s: %s\n", head, who(f), f.Kind, clean(f.Message))
		if at := place(f.Failure); at != "" {
			fmt.Fprintf(w, "      at %s\n", at)
		}
		Block(w, "      | ", f.Detail)
	}
	more(w, "  ", len(all))
}

func who(f contract.JobFailure) string {
	s := whose(f)
	switch {
	case f.Progdef != "" && f.Executor != "":
		s += fmt.Sprintf(" (%s on %s)", f.Progdef, f.Executor)
	case f.Progdef != "":
		s += fmt.Sprintf(" (%s)", f.Progdef)
	}
	return s
}

func place(f contract.Failure) string {
	var parts []string
	if f.Port != "" {
		parts = append(parts, "port "+clean(f.Port))
	}
	if f.Record != nil {
		parts = append(parts, fmt.Sprintf("record %d", *f.Record))
	}
	return strings.Join(parts, ", ")
}

// jobs writes the number of jobs in each state, and the names of those that did not end normally.
func jobs(w io.Writer, all map[string]contract.JobSummary) {
	if len(all) == 0 {
		return
	}
	count := make(map[contract.JobState]int)
	for _, j := range all {
		count[j.State]++
	}
	parts := []string{}
	for _, state := range slices.Sorted(maps.Keys(count)) {
		parts = append(parts, fmt.Sprintf("%d %s", count[state], state))
	}
	fmt.Fprintf(w, "  jobs: %s\n", strings.Join(parts, ", "))
}

const outputPrefix = "outputs."

func edges(w io.Writer, columns int, all []contract.EdgeCount, read map[string]contract.OutputCount) {
	if len(all) == 0 {
		return
	}
	rows := make([][]string, len(all))
	for i, e := range all {
		if n, here := read[strings.TrimPrefix(e.To, outputPrefix)]; here && strings.HasPrefix(e.To, outputPrefix) {
			e.Received, e.ClosedEarly = &n.Count, n.ClosedEarly
		}
		rows[i] = []string{clean(e.From + leadsTo + e.To), reported(e.Sent), received(e)}
	}
	t := table{w: w, indent: "  ", heading: []string{"EDGE", "SENT", "RECEIVED"}, fit: columns}
	t.addAll(rows)
}

// reported formats a count, or "-".
func reported(c *contract.Count) string {
	if c == nil {
		return "-"
	}
	return counted(*c)
}

func received(e contract.EdgeCount) string {
	s := reported(e.Received)
	if e.ClosedEarly {
		s += ", closed early"
	}
	return s
}
