package flowtest

import (
	"encoding/xml"
	"strings"
	"testing"

	"github.com/dagyo/dagyo/pkg/problem"
)

func TestJUnit(t *testing.T) {
	var b strings.Builder
	err := JUnit(&b, []Result{
		{Case: "a/greets", Outcome: OK, Seconds: 0.25},
		{Case: "a/<shouts>", Outcome: Failed, Seconds: 1, Failures: []Failure{{
			About: "output loud", Message: "records differ: \"\x1b[1m\" & <b>", Detail: "-A\n+B",
		}}},
	}, Faults{{File: "b/test.yaml", Problems: problem.List{{Code: problem.NotJSON, Message: "not YAML", Line: 3}}}}, 1.5)
	if err != nil {
		t.Fatal(err)
	}
	var got junitSuites
	if err := xml.Unmarshal([]byte(b.String()), &got); err != nil {
		t.Fatal(err)
	}
	if got.Tests != 3 || got.Failures != 1 || got.Errors != 1 || got.Time != "1.500" || len(got.Suite.Cases) != 3 {
		t.Errorf("got %s", b.String())
	}
	shouts, broken := got.Suite.Cases[1], got.Suite.Cases[2]
	if shouts.Name != "a/<shouts>" || shouts.Failure == nil || !strings.Contains(shouts.Failure.Text, "+B") ||
		shouts.Failure.Message != `records differ: "[1m" & <b>` {
		t.Errorf("got %+v", shouts)
	}
	if broken.Name != "b/test.yaml" || broken.Error == nil || !strings.Contains(broken.Error.Text, "line 3") {
		t.Errorf("got %+v", broken)
	}
}
