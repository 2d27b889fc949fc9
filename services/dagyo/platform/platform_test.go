package platform

import (
	"slices"
	"testing"

	"github.com/dagyo/dagyo/pkg/contract"
)

func published(name, revision, by string, command ...string) contract.Published {
	p := contract.Published{By: by}
	p.Document.Name, p.Document.Command, p.Revision = name, command, revision
	return p
}

func TestPlan(t *testing.T) {
	ours := []contract.Published{
		published("model-a", "2", "pat"), published("model-b", "1", "pat"), published("secret", "1", "pat"),
		published("greet", "1", "publisher", "dagyo", "executor", "greet"), published("tee", "1", "pat", "other", "tee"),
	}
	theirs := []contract.Published{
		published("model-a", "1", User), published("model-b", "9", "ada"), published("old", "1", User), published("mine", "1", "ada"),
	}
	apply, remove, kept := plan(ours, theirs, []string{"model-*"})
	var names []string
	for _, p := range apply {
		names = append(names, p.Document.Name)
	}
	// What replaces a standard progdef by another program is not standard.
	if !slices.Equal(names, []string{"model-a", "greet"}) || !slices.Equal(remove, []string{"old"}) || !slices.Equal(kept, []string{"model-b"}) {
		t.Errorf("apply %v, remove %v, keep %v", names, remove, kept)
	}
	if apply, remove, kept := plan(ours, theirs, nil); len(apply) != 1 || !slices.Equal(remove, []string{"model-a", "old"}) || kept != nil {
		t.Errorf("apply %d, remove %v, keep %v", len(apply), remove, kept)
	}
	if apply, _, _ := plan(ours[:1], []contract.Published{published("model-a", "2", "ada")}, []string{"*"}); len(apply) != 0 {
		t.Error("what is the same is copied")
	}
}

func TestPatterns(t *testing.T) {
	for pattern, valid := range map[string]bool{"model": true, "*": true, "model-*": true, "*-v2": true, "a b": false, "": false, "[a]": false, "Model": false} {
		if (ValidPattern(pattern) == nil) != valid {
			t.Errorf("%q: %v", pattern, ValidPattern(pattern))
		}
	}
}
