package report

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/progdef"
)

// A FlowTable writes flows as they arrive: each row is aligned with the rows before it.
type FlowTable struct{ table table }

// NewFlowTable returns an empty table of flows. Its rows are cut to fit the columns of a terminal; 0 means no terminal.
// The caller must call End.
func NewFlowTable(w io.Writer, columns int) *FlowTable {
	heading := []string{"FLOW", "STATE", "JOBS", "RECORDS", "AGE", "DURATION", "MESSAGE"}
	return &FlowTable{table{w: w, heading: heading, cut: columns}}
}

// Add writes some flows.
func (t *FlowTable) Add(flows []contract.FlowLine, now time.Time) {
	if len(flows) == 0 {
		return
	}
	rows := make([][]string, len(flows))
	for i, l := range flows {
		rows[i] = row(l, now)
	}
	t.table.add(rows)
}

// End writes the heading if the table has no rows.
func (t *FlowTable) End() {
	if t.table.widths == nil {
		t.table.add(nil)
	}
}

func row(l contract.FlowLine, now time.Time) []string {
	what := State(cmp.Or(l.Verdict, l.Phase))
	if l.Place > 0 {
		what = fmt.Sprintf("%s (%d)", what, l.Place)
	}
	total := 0
	for _, n := range l.Jobs {
		total += n
	}
	records := "-"
	if l.Records != nil {
		records = strconv.FormatInt(*l.Records, 10)
	}
	return []string{
		l.Flow, what, fmt.Sprintf("%d/%d", l.Jobs[contract.JobEnded], total), records, age(l.Submitted, now),
		lasted(l.Verdict, l.Submitted, l.Duration, now), onOneLine(l.Message),
	}
}

// State returns the word for the phase or verdict of a flow.
func State(t contract.Type) string {
	if t == contract.TypeJobStarted {
		return "running"
	}
	_, verb, _ := strings.Cut(string(t), ".")
	return verb
}

func age(submitted, now time.Time) string {
	if submitted.IsZero() {
		return "-"
	}
	return max(0, now.Sub(submitted)).Round(time.Second).String()
}

// lasted returns the duration of a flow, until now if it is running.
func lasted(
	verdict contract.Type, submitted time.Time, took document.Duration, now time.Time,
) string {
	switch {
	case took > 0:
		return span(took.D())
	case verdict == "" && !submitted.IsZero():
		return span(max(0, now.Sub(submitted)))
	}
	return "-"
}

// Flow writes the status of one flow in full. Names of jobs and edges are shortened to fit the columns of a terminal;
// 0 means no terminal.
func Flow(w io.Writer, columns int, s contract.FlowStatus, now time.Time) {
	fmt.Fprintf(w, "flow %s: %s\n", s.Flow, State(cmp.Or(s.Verdict, s.Phase)))
	if !s.Submitted.IsZero() {
		fmt.Fprintf(w, "  submitted: %s (%s ago)\n", s.Submitted.Format(time.RFC3339), age(s.Submitted, now))
	}
	if s.Owner != "" {
		fmt.Fprintf(w, "  owner:     %s\n", clean(s.Owner))
	}
	fmt.Fprintf(w, "  duration:  %s\n", lasted(s.Verdict, s.Submitted, s.Duration, now))
	if !s.Deadline.IsZero() && s.Verdict == "" {
		fmt.Fprintf(w, "  deadline:  %s\n", s.Deadline.Format(time.RFC3339))
	}
	if s.Queued != nil && s.Phase == contract.TypeFlowQueued {
		fmt.Fprintf(w, "  queued:    %s\n", queued(*s.Queued))
	}
	for _, why := range unclaimed(s) {
		fmt.Fprintf(w, "  waiting:   %s\n", why)
	}
	if s.Stalled != nil {
		fmt.Fprintf(w, "  stalled:   no record since %s (%s ago): %s\n",
			s.Stalled.Since.Format(time.RFC3339), age(s.Stalled.Since, now), clean(s.Stalled.WaitsFor()))
	}
	for _, x := range s.Waits {
		fmt.Fprintf(w, "  waits for: %s\n", clientWait(x))
	}
	if s.CancelledBy != "" || s.CancelSource != "" {
		fmt.Fprintf(w, "  cancelled: %s%s\n", clean(canceller(s.CancelledBy, s.CancelSource)), reason(clean(s.Reason)))
	}
	if s.Omitted != "" {
		fmt.Fprintf(w, "  omitted:   %s (too large for a message)\n", clean(s.Omitted))
	}
	Problems(w, s.Problems)
	failures(w, s.Failures)
	jobTable(w, columns, s.Jobs)
	if s.Verdict == "" {
		traffic(w, columns, s.Edges)
	} else {
		edges(w, columns, s.Edges, nil)
	}
}

// traffic writes the edges of a running flow, and who waits for whom.
func traffic(w io.Writer, columns int, all []contract.EdgeCount) {
	if len(all) == 0 {
		return
	}
	rows := make([][]string, len(all))
	for i, e := range all {
		rows[i] = []string{clean(e.From + leadsTo + e.To), reported(e.Sent), received(e), unread(e), clean(edgeWait(e))}
	}
	t := table{w: w, indent: "  ", heading: []string{"EDGE", "SENT", "RECEIVED", "UNREAD (OF WINDOW)", "WAITS"}, fit: columns}
	t.addAll(rows)
}

func unread(e contract.EdgeCount) string {
	if e.Unread == 0 {
		return "-"
	}
	return fmt.Sprintf("%s (%d %%)", byteSize(e.Unread), e.Fill)
}

// edgeWait says which end of an edge waits for the other one, "" if neither does.
func edgeWait(e contract.EdgeCount) string {
	switch e.Waits {
	case contract.SideWriter:
		return whoseEnd(e.From) + " waits for " + whoseEnd(e.To)
	case contract.SideReader:
		return whoseEnd(e.To) + " waits for " + whoseEnd(e.From)
	}
	return ""
}

// whoseEnd returns the job of an end of an edge, or the flow's own input or output.
func whoseEnd(end string) string {
	if strings.HasPrefix(end, outputPrefix) || strings.HasPrefix(end, "inputs.") {
		return end
	}
	job, _, _ := strings.Cut(end, ".")
	return job
}

// clientWait returns what an input or output of a flow waits for.
func clientWait(x contract.ClientWait) string {
	switch {
	case x.Input != "":
		return fmt.Sprintf("a writer of input %s", clean(x.Input))
	case x.Attached:
		return fmt.Sprintf("the reader of output %s: %s unread (slow or disconnected)", clean(x.Output), byteSize(x.Unread))
	case x.Unread == 0:
		return fmt.Sprintf("a reader of output %s", clean(x.Output))
	default:
		return fmt.Sprintf("a reader of output %s: %s unread", clean(x.Output), byteSize(x.Unread))
	}
}

// unclaimed returns why jobs of a running flow wait for their executors.
func unclaimed(s contract.FlowStatus) []string {
	if s.Queued == nil || s.Queued.Place != 0 || s.Verdict != "" {
		return nil
	}
	waiting := make(map[string]bool)
	for _, j := range s.Jobs {
		if j.State == contract.JobWaiting {
			waiting[j.Progdef] = true
		}
	}
	var out []string
	for _, x := range s.Queued.Shortage {
		if waiting[x.Progdef] {
			out = append(out, jobsWaiting(x))
		}
	}
	return out
}

func jobTable(w io.Writer, columns int, all map[string]contract.JobStatus) {
	if len(all) == 0 {
		return
	}
	rows := make([][]string, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		j := all[name]
		rows = append(rows, []string{name, j.Progdef, string(j.State), j.Executor, ports(j.PortCounts)})
	}
	t := table{w: w, indent: "  ", heading: []string{"JOB", "PROGDEF", "STATE", "EXECUTOR", "RECORDS"}, fit: columns}
	t.addAll(rows)
}

// Progdefs writes a table of progdefs.
func Progdefs(w io.Writer, all []contract.Published) {
	rows := make([][]string, len(all))
	for i, p := range all {
		d := p.Document
		rows[i] = []string{d.Name, p.Revision, signature(d.Inputs), signature(d.Outputs)}
	}
	t := table{w: w, heading: []string{"PROGDEF", "REVISION", "INPUTS", "OUTPUTS"}}
	t.addAll(rows)
}

func signature(ports map[string]progdef.Port) string {
	if len(ports) == 0 {
		return "-"
	}
	parts := make([]string, 0, len(ports))
	for _, name := range slices.Sorted(maps.Keys(ports)) {
		parts = append(parts, name+": "+ports[name].Type)
	}
	return clean(strings.Join(parts, ", "))
}

// Progdef writes one progdef in full, and the capacity of its revisions.
func Progdef(w io.Writer, p contract.Published, serving []contract.Capacity) {
	d := p.Document
	fmt.Fprintf(w, "progdef %s, revision %s\n", d.Name, p.Revision)
	Block(w, "  ", d.Description)
	if !p.At.IsZero() {
		fmt.Fprintf(w, "  applied:  %s%s\n", p.At.Format(time.RFC3339), by(p.By))
	}
	portList(w, "input", d.Inputs)
	portList(w, "output", d.Outputs)
	if d.Image != "" {
		fmt.Fprintf(w, "  image:    %s\n", clean(d.Image))
	}
	if len(d.Command) > 0 {
		fmt.Fprintf(w, "  command:  %s\n", clean(strings.Join(d.Command, " ")))
	}
	if d.Flow != nil {
		flowOf(w, d)
		return
	}
	s := d.Scaling
	fmt.Fprintf(w, "  scaling:  %s per executor, %d to %s, idle for at most %s\n",
		document.Count(s.JobsPerExecutor, "job"), s.MinExecutors, document.Count(s.MaxExecutors, "executor"), s.IdleTimeout)
	fmt.Fprintf(w, "  health:   every %s, dead after %s\n", d.Health.Interval, d.Health.Timeout)
	capacity(w, serving)
}

// flowOf writes which progdefs the flow of a progdef uses.
func flowOf(w io.Writer, d progdef.Document) {
	parts := d.Parts()
	rows := make([][]string, 0, len(parts))
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		rows = append(rows, []string{name, cmp.Or(parts[name], "const")})
	}
	t := table{w: w, indent: "  ", heading: []string{"NODE", "PROGDEF"}}
	t.addAll(rows)
}

// capacity writes the capacity of each revision: old revisions are kept until their last job has ended.
func capacity(w io.Writer, serving []contract.Capacity) {
	rows := make([][]string, 0, len(serving))
	for _, c := range serving {
		state := "current"
		if !c.Current {
			state = "old"
		}
		rows = append(rows, []string{
			c.Revision, state, strconv.Itoa(c.Executors), strconv.Itoa(c.Draining),
			strconv.Itoa(c.Running), strconv.Itoa(c.Waiting),
		})
	}
	heading := []string{"REVISION", "STATE", "EXECUTORS", "DRAINING", "JOBS RUNNING", "JOBS WAITING"}
	t := table{w: w, indent: "  ", heading: heading}
	t.addAll(rows)
	for _, c := range serving {
		trouble(w, c)
	}
}

// trouble writes why a revision has no executors, or fewer than it should.
func trouble(w io.Writer, c contract.Capacity) {
	switch {
	case c.Failed > 0:
		fmt.Fprintf(w, "  %s: %s exited before starting a job; the last one %s\n", c.Revision,
			document.Count(c.Failed, "executor"), clean(c.Reason))
		Block(w, "      | ", c.Detail)
		if !c.Retry.IsZero() {
			fmt.Fprintf(w, "      the next one starts at %s or later\n", c.Retry.Format(time.RFC3339))
		}
	case c.Reason != "":
		fmt.Fprintf(w, "  %s: %s\n", c.Revision, clean(c.Reason))
	}
}

func portList(w io.Writer, what string, ports map[string]progdef.Port) {
	for _, name := range slices.Sorted(maps.Keys(ports)) {
		p := ports[name]
		fmt.Fprintf(w, "  %s %s: %s", what, name, clean(p.Type))
		if p.Description != "" {
			fmt.Fprintf(w, " — %s", clean(p.Description))
		}
		fmt.Fprintln(w)
	}
}
