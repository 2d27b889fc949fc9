package report

import (
	"fmt"
	"strings"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
)

// Progress is the progress of a running flow. It is a fold over the flow's events and credits.
type Progress struct {
	flow    string
	began   time.Time
	phase   contract.Type
	queued  *contract.FlowQueued
	stalled *contract.FlowStalled
	jobs    map[string]contract.JobState
	edges   []edge
	credits map[string]int // edge by the subject of its credits
}

type edge struct {
	name string
	// records is the number of records that the edge's reader consumed; rate is the number per second at the last sample.
	records, sampled int64
	rate             float64
	at               time.Time
}

// NewProgress returns the progress of a flow that was just submitted.
func NewProgress(flow string, now time.Time) *Progress {
	return &Progress{
		flow: flow, began: now, phase: contract.TypeFlowSubmit,
		jobs: make(map[string]contract.JobState), credits: make(map[string]int),
	}
}

// Apply folds an event of the flow.
func (p *Progress) Apply(e contract.Event) {
	switch d := e.Data.(type) {
	case *contract.FlowPlanned:
		p.plan(d)
	case *contract.FlowQueued:
		p.queued = d
	case *contract.FlowStalled:
		if p.stalled = nil; d.Stalled {
			p.stalled = d
		}
		return
	case *contract.JobStarted:
		p.jobs[d.Job] = contract.JobRunning
	case *contract.JobDone:
		p.jobs[d.Job] = contract.JobEnded
	case *contract.JobPanic:
		p.jobs[d.Job] = contract.JobPanicked
	}
	if strings.HasPrefix(string(e.Type), "flow.") && !granted(e) {
		p.phase = e.Type
	}
}

// granted reports whether the event is about a queued flow that has its capacity.
func granted(e contract.Event) bool {
	d, ok := e.Data.(*contract.FlowQueued)
	return ok && d.Place == 0
}

func (p *Progress) plan(d *contract.FlowPlanned) {
	for _, j := range d.Jobs {
		if _, known := p.jobs[j.Job]; !known {
			p.jobs[j.Job] = contract.JobWaiting
		}
	}
	for n, e := range d.Edges {
		p.credits[e.Credit] = n
		p.edges = append(p.edges, edge{name: e.From + leadsTo + e.To, at: p.began})
	}
}

// Consumed folds the number of records that the reader of an edge has consumed so far.
func (p *Progress) Consumed(creditSubject string, records uint64) {
	if n, ok := p.credits[creditSubject]; ok {
		p.edges[n].records = max(p.edges[n].records, int64(records))
	}
}

// Sample measures the rates since the last sample.
func (p *Progress) Sample(now time.Time) {
	for i := range p.edges {
		e := &p.edges[i]
		if d := now.Sub(e.at); d > 0 {
			e.rate = float64(e.records-e.sampled) / d.Seconds()
		}
		e.sampled, e.at = e.records, now
	}
}

// shownEdges bounds the number of edges in a status.
const shownEdges = 12

const (
	// nameWidth is the width of an edge's name on 80 columns, leastName its least width.
	nameWidth, leastName = 40, 12
	// countsWidth is the width of the rest of the line, with a free column.
	countsWidth = 39
)

// nameColumns is how many columns the names of edges get: on a wide screen as many as the longest one needs.
func nameColumns(edges []edge, columns int) int {
	longest := nameWidth
	for _, e := range edges {
		longest = max(longest, width(clean(e.name)))
	}
	return max(min(longest, columns-countsWidth), leastName)
}

// Lines returns the current status: a line for the flow and one for each edge, at most most lines. The lines of edges
// fit the columns.
func (p *Progress) Lines(now time.Time, columns, most int) []string {
	out := []string{fmt.Sprintf("%s  %s  %s  %s", p.flow, p.step(), p.counts(), span(now.Sub(p.began)))}
	shown := min(len(p.edges), shownEdges, max(most-1, 0))
	if shown < len(p.edges) && shown == most-1 {
		shown = max(shown-1, 0) // the last line counts the others
	}
	room := nameColumns(p.edges[:shown], columns)
	for _, e := range p.edges[:shown] {
		out = append(out, fmt.Sprintf("  %s %12d records %12.0f/s",
			pad(shortened(clean(e.name), room), room), e.records, e.rate))
	}
	if n := len(p.edges) - shown; n > 0 && most > 1 {
		out = append(out, "  … and "+document.Count(n, "more edge"))
	}
	return out
}

func (p *Progress) step() string {
	switch {
	case p.phase == contract.TypeFlowSpawned && p.waits():
		return "waiting: " + queued(*p.queued)
	case p.phase == contract.TypeFlowSpawned && p.stalled != nil:
		return "stalled: " + clean(p.stalled.WaitsFor())
	case p.phase == contract.TypeFlowSpawned:
		return "running"
	case p.phase == contract.TypeFlowQueued && p.queued != nil:
		return "queued: " + clean(queued(*p.queued))
	}
	_, verb, _ := strings.Cut(string(p.phase), ".")
	return verb
}

// waits reports whether jobs wait for executors that cannot run yet.
func (p *Progress) waits() bool {
	if p.queued == nil || p.queued.Place != 0 {
		return false
	}
	for _, state := range p.jobs {
		if state == contract.JobWaiting {
			return true
		}
	}
	return false
}

func (p *Progress) counts() string {
	count := make(map[contract.JobState]int)
	for _, state := range p.jobs {
		count[state]++
	}
	return fmt.Sprintf("jobs: %d waiting, %d running, %d done", count[contract.JobWaiting],
		count[contract.JobRunning], count[contract.JobEnded]+count[contract.JobPanicked])
}
