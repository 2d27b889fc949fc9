package report

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/progdef"
)

// Flows writes a table of flows.
func Flows(w io.Writer, flows []contract.FlowStatus, now time.Time) {
	rows := make([][]string, len(flows))
	for i, s := range flows {
		rows[i] = []string{s.Flow, state(s), jobStates(s), age(s, now), lasted(s, now)}
	}
	table(w, "", []string{"FLOW", "STATE", "JOBS", "AGE", "DURATION"}, rows)
}

// state is a flow's verdict, or what it is about.
func state(s contract.FlowStatus) string {
	t := s.Verdict
	if t == "" {
		t = s.Phase
	}
	_, verb, _ := strings.Cut(string(t), ".")
	if t == contract.TypeJobStarted {
		return "running"
	}
	return verb
}

// jobStates says how many of a flow's jobs have ended well.
func jobStates(s contract.FlowStatus) string {
	done := 0
	for _, j := range s.Jobs {
		if j.State == contract.JobEnded {
			done++
		}
	}
	return fmt.Sprintf("%d/%d", done, len(s.Jobs))
}

func age(s contract.FlowStatus, now time.Time) string {
	if s.Submitted.IsZero() {
		return "-"
	}
	return max(0, now.Sub(s.Submitted)).Round(time.Second).String()
}

func lasted(s contract.FlowStatus, now time.Time) string {
	switch {
	case s.Duration > 0:
		return span(s.Duration.D())
	case s.Verdict == "" && !s.Submitted.IsZero():
		return span(max(0, now.Sub(s.Submitted)))
	}
	return "-"
}

// Flow writes all there is to know about one flow.
func Flow(w io.Writer, s contract.FlowStatus, now time.Time) {
	fmt.Fprintf(w, "flow %s: %s\n", s.Flow, state(s))
	if !s.Submitted.IsZero() {
		fmt.Fprintf(w, "  submitted: %s (%s ago)\n", s.Submitted.Format(time.RFC3339), age(s, now))
	}
	fmt.Fprintf(w, "  duration:  %s\n", lasted(s, now))
	if !s.Deadline.IsZero() && s.Verdict == "" {
		fmt.Fprintf(w, "  deadline:  %s\n", s.Deadline.Format(time.RFC3339))
	}
	if s.Queued != nil && s.Phase == contract.TypeFlowQueued {
		fmt.Fprintf(w, "  queued:    %s\n", queued(*s.Queued))
	}
	for _, why := range stalled(s) {
		fmt.Fprintf(w, "  stalled:   %s\n", why)
	}
	if s.CancelledBy != "" {
		fmt.Fprintf(w, "  cancelled: by %s%s\n", clean(s.CancelledBy), reason(clean(s.Reason)))
	}
	Problems(w, s.Problems)
	failures(w, s.Failures)
	jobTable(w, s.Jobs)
	edges(w, s.Edges, nil)
}

// stalled tells what keeps jobs of a running flow waiting for their executors.
func stalled(s contract.FlowStatus) []string {
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
			out = append(out, shortage(x))
		}
	}
	return out
}

func jobTable(w io.Writer, all map[string]contract.JobStatus) {
	if len(all) == 0 {
		return
	}
	rows := make([][]string, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		j := all[name]
		rows = append(rows, []string{name, j.Progdef, string(j.State), j.Executor, ports(j.PortCounts)})
	}
	table(w, "  ", []string{"JOB", "PROGDEF", "STATE", "EXECUTOR", "RECORDS"}, rows)
}

// Progdefs writes a table of progdefs.
func Progdefs(w io.Writer, all []progdef.Pinned) {
	rows := make([][]string, len(all))
	for i, p := range all {
		d := p.Document
		rows[i] = []string{d.Name, p.Revision, signature(d.Inputs), signature(d.Outputs)}
	}
	table(w, "", []string{"PROGDEF", "REVISION", "INPUTS", "OUTPUTS"}, rows)
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

// Progdef writes all there is to know about one progdef, and what serves its revisions.
func Progdef(w io.Writer, p progdef.Pinned, serving []contract.Capacity) {
	d := p.Document
	fmt.Fprintf(w, "progdef %s, revision %s\n", d.Name, p.Revision)
	Block(w, "  ", d.Description)
	portList(w, "input", d.Inputs)
	portList(w, "output", d.Outputs)
	if d.Image != "" {
		fmt.Fprintf(w, "  image:    %s\n", clean(d.Image))
	}
	if len(d.Command) > 0 {
		fmt.Fprintf(w, "  command:  %s\n", clean(strings.Join(d.Command, " ")))
	}
	s := d.Scaling
	fmt.Fprintf(w, "  scaling:  %s an executor, %d to %d executors, idle for %s at most\n",
		plural(int64(s.JobsPerExecutor), "job"), s.MinExecutors, s.MaxExecutors, s.IdleTimeout)
	fmt.Fprintf(w, "  health:   every %s, dead after %s\n", d.Health.Interval, d.Health.Timeout)
	capacity(w, serving)
}

// capacity writes what serves each revision: old ones are there until their last job has ended.
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
	table(w, "  ", []string{"REVISION", "STATE", "EXECUTORS", "DRAINING", "JOBS RUNNING", "JOBS WAITING"}, rows)
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
