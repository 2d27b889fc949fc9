package flowtest

import (
	"encoding/xml"
	"strings"
	"testing"

	"github.com/dagyo/dagyo/pkg/problem"
)

func TestJUnit(t *testing.T) {
	var b strings.Builder
	err := Report{Results: []Result{
		{Case: "a/greets", Outcome: OK, Seconds: 0.25},
		{Case: "a/<shouts>", Outcome: Failed, Seconds: 1, Failures: []Failure{{
			About: "output loud", Message: "records differ: \"\x1b[1m\" & <b>", Detail: "-A\n+B",
		}}},
	}, Cases: []string{"a/greets", "a/<shouts>", "late\x00"}, Why: "interrupted", Seconds: 1.5, Faults: Faults{{File: "b/test.yaml", Problems: problem.List{{Code: problem.NotJSON, Message: "not YAML", Line: 3}}}}}.JUnit(&b)
	if err != nil {
		t.Fatal(err)
	}
	var got junitSuites
	if err := xml.Unmarshal([]byte(b.String()), &got); err != nil {
		t.Fatal(err)
	}
	if got.Tests != 4 || got.Skipped != 1 || got.Failures != 1 || got.Errors != 1 || got.Time != "1.500" || len(got.Suite.Cases) != 4 {
		t.Errorf("got %s", b.String())
	}
	shouts, late, broken := got.Suite.Cases[1], got.Suite.Cases[2], got.Suite.Cases[3]
	if shouts.Name != "a/<shouts>" || shouts.Failure == nil || !strings.Contains(shouts.Failure.Text, "+B") ||
		shouts.Failure.Message != "records differ: \"\ufffd[1m\" & <b>" || shouts.Class != "dagyo.a" {
		t.Errorf("got %+v", shouts)
	}
	if late.Name != "late\ufffd" || late.Skipped == nil || late.Skipped.Message != "interrupted" || late.Class != "dagyo" {
		t.Errorf("got %+v", late)
	}
	if broken.Name != "b/test.yaml" || broken.Error == nil || !strings.Contains(broken.Error.Text, "line 3") {
		t.Errorf("got %+v", broken)
	}
}
