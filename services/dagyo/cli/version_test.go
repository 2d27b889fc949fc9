package cli

import (
	"strings"
	"testing"

	"github.com/dagyo/dagyo/pkg/service"
)

func TestVersionNamesTheCommit(t *testing.T) {
	before := service.Commit
	defer func() { service.Commit = before }()
	for commit, want := range map[string]string{
		"0123abcd":       ", commit 0123abcd, go1.",
		"0123abcd-dirty": ", commit 0123abcd with changes, go1.",
	} {
		service.Commit = commit
		var out strings.Builder
		a := &app{Invocation: Invocation{Out: &out}}
		if err := a.versionCommand().Execute(); err != nil || !strings.Contains(out.String(), want) {
			t.Errorf("%s: got %q, %v", commit, out.String(), err)
		}
	}
}
