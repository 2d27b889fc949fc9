package main

import (
	"testing"

	"github.com/dagyo/dagyo/tests/bench/internal/suite"
)

func TestFailures(t *testing.T) {
	fine, bad := suite.Outcome{Name: "fine"}, suite.Outcome{Name: "cell", Failures: []string{"no answer"}}
	if err := failures([]suite.Outcome{fine}); err != nil {
		t.Error(err)
	}
	const want = "1 of 2 figures failed (cell): the reasons are above and on the page"
	if err := failures([]suite.Outcome{fine, bad}); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
