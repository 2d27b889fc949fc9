package conformance

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// An Outcome is how a check went.
type Outcome string

// The outcomes.
const (
	Pass Outcome = "pass"
	Fail Outcome = "fail"
	// Slow is for what was done as it should be, but too late.
	Slow    Outcome = "slow"
	Skipped Outcome = "skipped"
)

// A Result is what came of one check.
type Result struct {
	Check string `json:"check"`
	// Demand is what an executor must do, See where docs/protocol.md says it.
	Demand string  `json:"demand"`
	See    string  `json:"see"`
	Result Outcome `json:"result"`
	// Seen is one sentence: what was seen.
	Seen    string  `json:"seen"`
	Seconds float64 `json:"seconds"`
	// Stderr is the end of what the executor has written, where it failed.
	Stderr string `json:"stderr,omitempty"`
}

// A Report is what came of all checks.
type Report struct {
	// Image is what was run by Docker, with the command as its arguments.
	Image   string   `json:"image,omitempty"`
	Command []string `json:"command"`
	Passed  int      `json:"passed"`
	Failed  int      `json:"failed"`
	Slow    int      `json:"slow"`
	Skipped int      `json:"skipped"`
	Results []Result `json:"results"`
}

// Conforms reports whether no check has failed, and none was slow.
func (r Report) Conforms() bool { return r.Failed == 0 && r.Slow == 0 }

func newReport(image string, command []string, results []Result) Report {
	r := Report{Image: image, Command: append([]string{}, command...), Results: results}
	for _, one := range results {
		switch one.Result {
		case Pass:
			r.Passed++
		case Fail:
			r.Failed++
		case Slow:
			r.Slow++
		case Skipped:
			r.Skipped++
		}
	}
	return r
}

// judged makes a result of what a check has said.
func judged(c Check, seen string, err error) Result {
	r := Result{Check: c.Name, Demand: c.Demand, See: c.See, Result: Pass, Seen: seen}
	var late *slow
	if why, ok := skipped(err); ok {
		r.Result, r.Seen = Skipped, why
	} else if errors.As(err, &late) {
		r.Result, r.Seen = Slow, err.Error()
	} else if err != nil {
		r.Result, r.Seen = Fail, err.Error()
	}
	return r
}

// Write writes a result for people.
func (r Result) Write(w io.Writer) {
	fmt.Fprintf(w, "%-7s  %-24s  %5.1f s  %s\n", r.Result, r.Check, r.Seconds, r.Seen)
	if r.Result != Fail && r.Result != Slow {
		return
	}
	fmt.Fprintf(w, "         demanded: %s\n         see docs/protocol.md: %s\n", r.Demand, r.See)
	for line := range strings.Lines(r.Stderr) {
		fmt.Fprintf(w, "         | %s\n", strings.TrimRight(line, "\n"))
	}
}

// Write writes the sum for people.
func (r Report) Write(w io.Writer) {
	late := ""
	if r.Slow > 0 {
		late = fmt.Sprintf(", %d too slow", r.Slow)
	}
	fmt.Fprintf(w, "%d passed, %d failed%s, %d skipped\n", r.Passed, r.Failed, late, r.Skipped)
}
