package flowtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/problem"
)

// A Runner runs test cases. Its method may be called concurrently.
type Runner struct {
	Client *client.Client
	// ID returns a new flow id derived from a path.
	ID func(path string) string
	// Deadline is the deadline of test cases that set none, from the start of the last job; until then StartDeadline holds.
	Deadline, StartDeadline time.Duration
	// OutputLimit bounds the size of each output and of each file in outputs/, in bytes; each record counts
	// recordCost more than its length.
	OutputLimit int64
	// Update rewrites the files in outputs/ that differ from the actual outputs.
	Update bool
}

// Outcomes of a test case.
const (
	OK      = "ok"
	Failed  = "failed"
	Updated = "updated"
)

// A Result is the result of a test case.
type Result struct {
	Case    string  `json:"case"`
	Outcome string  `json:"outcome"`
	Seconds float64 `json:"seconds"`
	// Verdict is the type of the event that ended the flow, "" if it was not submitted.
	Verdict  contract.Type `json:"verdict,omitempty"`
	Failures []Failure     `json:"failures,omitempty"`
	// Updated are the rewritten files.
	Updated []string `json:"updated,omitempty"`
}

// cancelWait bounds the wait for the verdict of a flow that was cancelled at its deadline.
const cancelWait = 5 * time.Second

// Run runs one test case. If the context ends, Run returns its error.
func (r *Runner) Run(ctx context.Context, c Case) (Result, error) {
	began := time.Now()
	result := Result{Case: c.Name}
	seen, err := r.observe(ctx, c)
	switch {
	case ctx.Err() != nil:
		return result, context.Cause(ctx)
	case err != nil:
		result.Failures = []Failure{{About: "case", Message: err.Error()}}
	default:
		result.Verdict = seen.verdict.Type
		seen.verdict = c.located(seen.verdict)
		r.judge(c, seen, &result)
	}
	result.Seconds = time.Since(began).Seconds()
	result.Outcome = outcome(result)
	return result, nil
}

// located returns a verdict with the positions of problems in the file of the flow.
func (c Case) located(e contract.Event) contract.Event {
	if d, ok := e.Data.(*contract.FlowRejected); ok {
		e.Data = &contract.FlowRejected{Problems: c.source.Locate(d.Problems)}
	}
	return e
}

func outcome(r Result) string {
	switch {
	case len(r.Failures) > 0:
		return Failed
	case len(r.Updated) > 0:
		return Updated
	}
	return OK
}

// An observation is what the runner observed of a flow.
type observation struct {
	verdict contract.Event
	outputs map[string]*collected
	unfed   map[string]error // inputs that could not be fed
	late    *Failure         // the deadline expired
}

// observe runs the flow of a test case to its end.
func (r *Runner) observe(ctx context.Context, c Case) (observation, error) {
	if c.Problems != nil {
		return observation{verdict: rejected("", c.Problems)}, nil
	}
	ctx, clock, stop := r.clock(ctx, c)
	defer stop()
	id := r.ID(c.Path)
	seq, err := r.Client.Submit(ctx, id, c.Flow)
	var problems problem.List
	if errors.As(err, &problems) {
		return observation{verdict: rejected(id, problems)}, nil
	}
	if err != nil {
		return observation{}, err
	}
	f, err := r.follow(ctx, c, id, seq, clock)
	if err != nil {
		return observation{}, err
	}
	defer f.close()
	return f.observe(ctx)
}

func rejected(flow string, problems problem.List) contract.Event {
	return contract.Event{
		Type: contract.TypeFlowRejected, Subject: flow, Data: &contract.FlowRejected{Problems: problems},
	}
}

// judge compares the observation with the expected result, and updates files if Update is set.
func (r *Runner) judge(c Case, seen observation, result *Result) {
	if seen.late != nil {
		seen.late.Detail = verdictText(seen.verdict)
		result.Failures = []Failure{*seen.late}
		return
	}
	// If the runner cancelled the flow, its verdict is not compared.
	result.Failures = append(judgeInputs(seen.unfed), r.overflows(seen.outputs)...)
	if len(result.Failures) == 0 {
		result.Failures = c.judgeVerdict(seen.verdict)
	}
	if result.Verdict == contract.TypeFlowRejected || len(result.Failures) > 0 {
		return
	}
	for _, name := range c.Outputs {
		if !c.Document.Outputs[name].Ignored {
			r.judgeOutput(c, name, seen.outputs[name], result)
		}
	}
}

// running returns the jobs that have not ended, for a message.
func running(jobs map[string]contract.JobState) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(jobs)) {
		if s := jobs[name]; s == contract.JobWaiting || s == contract.JobRunning {
			parts = append(parts, name+" "+string(s))
		}
	}
	const most = 10
	if len(parts) > most {
		parts = append(parts[:most], fmt.Sprintf("and %d more", len(parts)-most))
	}
	return strings.Join(parts, ", ")
}
