package flowtest

import (
	"fmt"
	"io"
	"strings"

	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/services/dagyo/report"
)

// indent precedes the details of a line.
const indent = "      "

// Text writes a line for the test case, and below it the failures.
func (r Result) Text(w io.Writer) error {
	var b strings.Builder
	mark := r.Outcome
	if mark == Failed {
		mark = "FAIL" // easy to find in a long log
	}
	fmt.Fprintf(&b, "%-7s %s  %.2fs\n", mark, r.Case, r.Seconds)
	for _, path := range r.Updated {
		report.Block(&b, indent, "wrote "+path)
	}
	for _, f := range r.Failures {
		report.Block(&b, indent, f.About+": "+f.Message)
		if f.Hint != "" {
			report.Block(&b, indent, "hint: "+f.Hint)
		}
		report.Block(&b, indent+"  ", f.Detail)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// A Summary counts the results of a run.
type Summary struct {
	Cases   int     `json:"cases"`
	OK      int     `json:"ok"`
	Failed  int     `json:"failed"`
	Updated int     `json:"updated"`
	Seconds float64 `json:"seconds"`
}

// Add counts a result.
func (s *Summary) Add(r Result) {
	s.Cases++
	switch r.Outcome {
	case OK:
		s.OK++
	case Failed:
		s.Failed++
	case Updated:
		s.Updated++
	}
}

// String is the last line of a run.
func (s Summary) String() string {
	text := fmt.Sprintf("%s in %.2fs: %d ok, %d failed", document.Count(s.Cases, "case"), s.Seconds, s.OK, s.Failed)
	if s.Updated > 0 {
		text += fmt.Sprintf(", %d updated", s.Updated)
	}
	return text
}

// Text writes the problems of each file.
func (f Faults) Text(w io.Writer) error {
	var b strings.Builder
	for _, fault := range f {
		fmt.Fprintf(&b, "%s:\n", fault.File)
		report.Problems(&b, fault.Problems)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
