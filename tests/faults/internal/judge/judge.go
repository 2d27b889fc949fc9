// Package judge says what in the history of a run is not as promised. It is pure: a run goes in, findings come out.
package judge

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/tests/faults/internal/load"
	"github.com/dagyo/dagyo/tests/faults/internal/schedule"
)

// A Run is what happened.
type Run struct {
	Schedule schedule.Schedule
	Steps    []Step
	Results  []*load.Result
	// Events are all of EVENTS, by tenant.
	Events map[string][]contract.Event
	// Killed are the executors that were killed.
	Killed map[string]bool
	// Left is what is stored for flows although all have ended.
	Left []string
}

// A Step is one of the schedule, and when it happened.
type Step struct {
	schedule.Step
	Began, End time.Time
}

// A Rule is a promise.
type Rule string

// The rules.
const (
	OneVerdict  Rule = "one verdict"              // each flow that was accepted has one
	Justified   Rule = "the verdict is justified" // it is the flow's own, or a fault excuses it
	Exact       Rule = "outputs are exact"        // a completed flow's are what they must be
	StartedOnce Rule = "no job is started twice"
	ClientKnows Rule = "the client reports the verdict" // by its exit code
	Answered    Rule = "a submission is answered"
	NothingLeft Rule = "nothing is left"        // on the broker, once all flows have ended
	Heals       Rule = "the installation heals" // everything runs and answers again after all faults
)

// A Finding is a promise that was not kept.
type Finding struct {
	Rule Rule
	Flow string
	What string
}

func (f Finding) String() string {
	if f.Flow == "" {
		return fmt.Sprintf("%s: %s", f.Rule, f.What)
	}
	return fmt.Sprintf("%s: %s: %s", f.Rule, f.Flow, f.What)
}

// A Summary counts a run.
type Summary struct {
	Flows, Right int
	// Excused counts flows whose verdict was not their own, or whose client has not seen it, by what a fault may have caused.
	Excused map[string]int
	// Told is what the clients of these flows said, a line each.
	Told     []string
	Findings []Finding
}

// Add adds the counts of another run.
func (s *Summary) Add(o Summary) {
	s.Flows, s.Right = s.Flows+o.Flows, s.Right+o.Right
	s.Findings, s.Told = append(s.Findings, o.Findings...), append(s.Told, o.Told...)
	for why, n := range o.Excused {
		s.excuse(why, n)
	}
}

func (s *Summary) excuse(why string, n int) {
	if s.Excused == nil {
		s.Excused = make(map[string]int)
	}
	s.Excused[why] += n
}

// excuseAfter is for how long after a fault its consequences may still come: health timeouts and reconnects.
const excuseAfter = 60 * time.Second

// Judge compares a run with what was promised.
func Judge(r Run) Summary {
	var s Summary
	for _, res := range r.Results {
		s.Flows++
		found, excused := r.flow(res)
		s.Findings = append(s.Findings, found...)
		switch {
		case len(found) > 0:
		case excused != "":
			s.excuse(excused, 1)
			s.Told = append(s.Told, fmt.Sprintf("%s: %s/%s: exit code %d: %s", excused, res.Flow.Tenant, res.Flow.ID, res.Code, last(res.Told)))
		default:
			s.Right++
		}
	}
	for tenant, events := range r.Events {
		s.Findings = append(s.Findings, startedTwice(tenant, events)...)
	}
	for _, what := range r.Left {
		s.Findings = append(s.Findings, Finding{NothingLeft, "", what})
	}
	return s
}

func startedTwice(tenant string, events []contract.Event) (all []Finding) {
	started := map[string]string{}
	for _, e := range events {
		d, ok := e.Data.(*contract.JobStarted)
		if !ok {
			continue
		}
		job := e.Subject + "." + d.Job
		if before, ok := started[job]; ok {
			all = append(all, Finding{StartedOnce, tenant + "/" + e.Subject, fmt.Sprintf("job %s by %s and by %s", d.Job, before, d.Executor)})
		}
		started[job] = d.Executor
	}
	return all
}

// Excuses that are not panics.
const (
	unheard   = "not accepted"
	gaveUp    = "its client gave up"
	cancelled = "cancelled for its client"
)

// flow judges one flow. Excused says what a fault may have caused if it did not go as it does without one.
func (r Run) flow(res *load.Result) (all []Finding, excused string) {
	f := res.Flow
	find := func(rule Rule, format string, v ...any) {
		all = append(all, Finding{rule, f.Tenant + "/" + f.ID, fmt.Sprintf(format, v...)})
	}
	var verdicts []contract.Event
	var accepted, refused bool
	for _, e := range r.Events[f.Tenant] {
		if e.Flow() != f.ID {
			continue
		}
		switch e.Type {
		case contract.TypeFlowValidated:
			accepted = true
		case contract.TypeFlowRejected:
			refused = true
		case contract.TypeFlowCompleted, contract.TypeFlowPanic, contract.TypeFlowCancelled:
			verdicts = append(verdicts, e)
		}
	}
	if refused {
		find(Justified, "it was rejected: %s", last(res.Told))
		return all, ""
	}
	if !accepted {
		if f.Signal == 0 && !r.near(res.Began, res.End, func(schedule.Step) bool { return true }) {
			find(Answered, "it was never accepted; its client exited with %d: %s", res.Code, last(res.Told))
		}
		return all, unheard
	}
	if len(verdicts) != 1 {
		find(OneVerdict, "it has %d; its client: %d, %s", len(verdicts), res.Code, last(res.Told))
		return all, ""
	}
	v := verdicts[0]
	excused, why := r.justified(f, v, res)
	if why != "" {
		find(Justified, "%s", why)
	}
	if want := code(v.Type); res.Code != want && !f.Gone() {
		switch {
		case v.Type == contract.TypeFlowCompleted && res.Wrong != "":
		case r.near(res.Began, res.End, func(schedule.Step) bool { return true }) && stopped(res):
			excused = gaveUp // it did not wait any longer for a server
		default:
			find(ClientKnows, "%s, and its client exited with %d: %s", v.Type, res.Code, last(res.Told))
		}
	}
	if v.Type == contract.TypeFlowCompleted && res.Wrong != "" {
		find(Exact, "%s", res.Wrong)
	}
	return all, excused
}

// justified says why a verdict is not, or whether a fault excuses it.
func (r Run) justified(f *load.Flow, v contract.Event, res *load.Result) (excused, why string) {
	panicked, _ := v.Data.(*contract.FlowPanic)
	switch {
	case v.Type == f.Want && (panicked == nil || slices.Contains(f.Kinds, panicked.Cause.Kind)):
		return "", ""
	case panicked != nil:
		c := panicked.Cause
		if r.Killed[c.Executor] && (c.Kind == contract.KindCrash || c.Kind == contract.KindLostHealth) {
			return string(c.Kind), ""
		}
		if r.near(res.Began, v.Time, func(s schedule.Step) bool { return slices.Contains(s.Excuses(r.Schedule.Files), c.Kind) }) {
			return string(c.Kind), ""
		}
		return "", fmt.Sprintf("panic of kind %s in job %s (executor %s): %s", c.Kind, c.Job, c.Executor, c.Message)
	case f.Signal != 0 && v.Type == contract.TypeFlowCompleted:
		return "", "" // it was faster
	case v.Type == contract.TypeFlowCancelled:
		d, _ := v.Data.(*contract.FlowCancelled)
		if r.near(res.Began, v.Time, func(s schedule.Step) bool { return s.Target == schedule.Clients }) {
			return cancelled, ""
		}
		if stopped(res) && r.near(res.Began, res.End, func(schedule.Step) bool { return true }) {
			return gaveUp, "" // and nobody fed or read it any more
		}
		return "", fmt.Sprintf("cancelled by %s: %s", d.Source, d.Reason)
	default:
		return "", fmt.Sprintf("%s, want %s", v.Type, f.Want)
	}
}

// stopped reports whether a client did not wait for the verdict.
func stopped(res *load.Result) bool { return slices.Contains([]int{1, 8, 130}, res.Code) }

// near reports whether a step of a kind lasted, or its consequences may have, while a flow lived.
func (r Run) near(began, ended time.Time, of func(schedule.Step) bool) bool {
	return slices.ContainsFunc(r.Steps, func(s Step) bool {
		return of(s.Step) && s.Began.Before(ended) && s.End.Add(excuseAfter).After(began)
	})
}

// code is the exit code for a verdict.
func code(verdict contract.Type) int {
	switch verdict {
	case contract.TypeFlowCompleted:
		return 0
	case contract.TypeFlowPanic:
		return 4
	default:
		return 5
	}
}

func last(text string) string {
	lines := strings.Split(text, "\n")
	return lines[len(lines)-1]
}
