package flowtest

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/services/dagyo/report"
)

// A Failure is one difference from the expected result.
type Failure struct {
	// About is "verdict", "input NAME", "output NAME" or "case".
	About   string `json:"about"`
	Message string `json:"message"`
	// Detail is a diff, or the complete verdict.
	Detail string `json:"detail,omitempty"`
	// Hint is how to fix it, if known.
	Hint string `json:"hint,omitempty"`
}

// judgeVerdict compares the verdict of a flow with the expected one.
func (d Document) judgeVerdict(e contract.Event) []Failure {
	switch got := e.Data.(type) {
	case *contract.FlowRejected:
		if d.Rejected != nil {
			return d.judgeProblems(got.Problems)
		}
	case *contract.FlowPanic:
		if d.Panic != nil {
			return d.Panic.judge(got.Cause, e)
		}
	case *contract.FlowCompleted:
		if d.Panic == nil && d.Rejected == nil {
			return nil
		}
	}
	return []Failure{{
		About: "verdict", Detail: verdictText(e), Hint: d.expecting(e),
		Message: fmt.Sprintf("the flow %s, but should have %s", ended(e.Type), d.expected()),
	}}
}

func (d Document) expected() string {
	switch {
	case d.Panic != nil:
		return "panicked"
	case d.Rejected != nil:
		return "been rejected"
	}
	return "completed"
}

func ended(t contract.Type) string {
	switch t {
	case contract.TypeFlowCompleted:
		return "completed"
	case contract.TypeFlowPanic:
		return "panicked"
	case contract.TypeFlowRejected:
		return "was rejected"
	}
	return "was cancelled"
}

// expecting returns how to write a test case that expects this verdict.
func (d Document) expecting(e contract.Event) string {
	if d.Panic != nil || d.Rejected != nil {
		return ""
	}
	switch got := e.Data.(type) {
	case *contract.FlowPanic:
		return fmt.Sprintf("if it should panic, write in test.yaml: panic: {kind: %s, node: %q}",
			got.Cause.Kind, got.Cause.Job)
	case *contract.FlowRejected:
		return fmt.Sprintf("if it should be rejected, write in test.yaml: rejected: [%s]",
			strings.Join(codes(got.Problems), ", "))
	}
	return ""
}

func codes(problems problem.List) []string {
	var out []string
	for _, p := range problems {
		out = append(out, fmt.Sprintf("{code: %s}", p.Code))
	}
	return out
}

func verdictText(e contract.Event) string {
	var b strings.Builder
	report.Verdict(&b, 0, e, nil)
	return b.String()
}

// judge compares the first cause of a panic.
func (p PanicRule) judge(cause contract.JobFailure, e contract.Event) []Failure {
	var wrong []string
	differs := func(what string, got, want any) {
		wrong = append(wrong, fmt.Sprintf("got %s %v, want %v", what, got, want))
	}
	if p.Kind != "" && p.Kind != cause.Kind {
		differs("kind", cause.Kind, p.Kind)
	}
	if p.Node != nil && *p.Node != cause.Job {
		differs("node", quoted(cause.Job), quoted(*p.Node))
	}
	if p.Port != nil && *p.Port != cause.Port {
		differs("port", quoted(cause.Port), quoted(*p.Port))
	}
	if p.Record != nil && (cause.Record == nil || *cause.Record != *p.Record) {
		differs("record", number(cause.Record), *p.Record)
	}
	if !p.Message.matches(cause.Message) {
		wrong = append(wrong, fmt.Sprintf("message %q does not match %q", cause.Message, p.Message))
	}
	if wrong == nil {
		return nil
	}
	return []Failure{{
		About: "verdict", Detail: verdictText(e),
		Message: "the flow panicked, but not as expected: " + strings.Join(wrong, "; "),
	}}
}

func quoted(s string) string { return fmt.Sprintf("%q", s) }

func number(n *int64) string {
	if n == nil {
		return "unknown"
	}
	return fmt.Sprint(*n)
}

// judgeProblems matches each problem of a rejection with one expected problem.
func (d Document) judgeProblems(got problem.List) []Failure {
	var gotLines, wantLines []string
	left := slices.Clone(got)
	for _, rule := range bySharpness(d.Rejected) {
		i := slices.IndexFunc(left, rule.matches)
		if i < 0 {
			wantLines = append(wantLines, rule.String())
			continue
		}
		both := lineOf(left[i])
		gotLines, wantLines = append(gotLines, both), append(wantLines, both)
		left = slices.Delete(left, i, i+1)
	}
	for _, p := range left {
		gotLines = append(gotLines, lineOf(p))
	}
	if len(left) == 0 && len(gotLines) == len(d.Rejected) {
		return nil
	}
	slices.Sort(gotLines)
	slices.Sort(wantLines)
	return []Failure{{
		About: "verdict", Message: "the flow was rejected, but not with the expected problems",
		Detail: unified("expected", wantLines, "rejected for", gotLines),
	}}
}

// bySharpness sorts rules with a pointer first: the others match the remaining problems.
func bySharpness(rules []ProblemRule) []ProblemRule {
	out := slices.Clone(rules)
	slices.SortStableFunc(out, func(a, b ProblemRule) int {
		return boolean(a.Pointer == nil) - boolean(b.Pointer == nil)
	})
	return out
}

func boolean(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (r ProblemRule) matches(p problem.Problem) bool {
	return r.Code == p.Code && (r.Pointer == nil || *r.Pointer == p.Pointer)
}

func (r ProblemRule) String() string {
	if r.Pointer == nil {
		return string(r.Code)
	}
	return string(r.Code) + " at " + *r.Pointer
}

func lineOf(p problem.Problem) string {
	return fmt.Sprintf("%s at %s: %s", p.Code, p.Pointer, p.Message)
}

// judgeInputs reports the inputs that could not be fed.
func judgeInputs(failed map[string]error) []Failure {
	var out []Failure
	for _, name := range slices.Sorted(maps.Keys(failed)) {
		out = append(out, Failure{About: "input " + name, Message: failed[name].Error()})
	}
	return out
}
