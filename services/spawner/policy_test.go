package spawner

import (
	"context"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/policy"
	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/services/spawner/backend"
)

// recorder is a backend that only records what is started.
type recorder struct {
	backend.Backend
	specs []backend.Spec
}

func (r *recorder) Start(_ context.Context, spec backend.Spec) error {
	r.specs = append(r.specs, spec)
	return nil
}

// Each start applies the policy of that moment, to the progdef and to its environment.
func TestStartsFollowThePolicy(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	rules := func(text string) *policy.Policy {
		p, problems := policy.Check([]byte(text))
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		return p
	}
	current := policy.NewCurrent(nil)
	places := &recorder{}
	w := &wiring{
		backend: places, refused: make(chan backend.Exit, 2), config: Config{Policy: current, Queue: "nats://queue"},
	}
	pinned := progdef.Document{
		Name: "a", Command: []string{"x"}, Env: map[string]string{"REGION": "mine"}, EnvFrom: []progdef.EnvSource{{Secret: "own"}},
		Scaling: progdef.Scaling{JobsPerExecutor: 1},
	}.Pin()
	start := func(id string) {
		t.Helper()
		d := &contract.ExecutorStarted{Executor: id, Progdef: "a", Revision: pinned.Revision}
		e := contract.Event{Type: contract.TypeExecutorStarted, Subject: id, Data: d, With: pinned}
		published, err := w.perform(t.Context(), nil, e)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(published.Data)
		if err != nil || strings.Contains(string(text), "secret") {
			t.Errorf("the event is %s, %v", text, err)
		}
	}
	start("first")
	if got := slices.Sorted(maps.Keys(places.specs[0].Env)); slices.Contains(got, "REGION") || len(places.specs[0].Document.EnvFrom) != 1 {
		t.Errorf("without a policy: %+v", places.specs[0])
	}
	current.Set(rules(`{"environment": [{"progdefs": ["a"], "variables": {"REGION": "eu"}, "files": {"TOKEN": "` + token + `"},
		"envFrom": [{"configMap": "all"}]}]}`))
	start("second")
	spec := places.specs[1]
	if spec.Env["REGION"] != "eu" || spec.Env["TOKEN"] != "secret" || spec.Env[contract.EnvQueue] != "nats://queue" ||
		!slices.Equal(spec.Secrets, []string{"REGION", "TOKEN"}) || !slices.Equal(spec.Document.EnvFrom, []progdef.EnvSource{{Secret: "own"}, {ConfigMap: "all"}}) {
		t.Errorf("with variables: %+v", spec)
	}
	if len(pinned.Document.EnvFrom) != 1 {
		t.Error("the progdef was changed")
	}

	current.Set(rules(`{"commands": {"allow": []}}`))
	start("third")
	current.Set(rules(`{"environment": [{"progdefs": ["a"], "files": {"TOKEN": "` + token + `-missing"}}]}`))
	start("fourth")
	if len(places.specs) != 2 {
		t.Errorf("started %+v", places.specs[2:])
	}
	for _, want := range []string{"commands.allow", "operator's variables: the variable TOKEN"} {
		exit := <-w.refused
		if !exit.Permanent || !strings.Contains(exit.Detail, want) {
			t.Errorf("the exit is %+v, want %s", exit, want)
		}
	}
}

// The catalogue is that of the snapshot: the bucket may be behind, or ahead of the events still to be folded.
func TestCurrentRevisionsAreRestored(t *testing.T) {
	document := func(version string) progdef.Pinned {
		return progdef.Document{
			Name: "a", Command: []string{version}, Scaling: progdef.Scaling{JobsPerExecutor: 1, MinExecutors: 1, MaxExecutors: 1},
		}.Pin()
	}
	applied := func(s *State, p progdef.Pinned) {
		Evolve(s, contract.Event{Type: contract.TypeProgdefApplied, Subject: p.Document.Name, Data: &contract.ProgdefApplied{
			Name: p.Document.Name, Revision: p.Revision, Document: p.Document,
		}})
	}
	s := NewState(DefaultLimits(), nil)
	applied(s, document("1"))
	applied(s, document("2"))
	raw, err := snapshots().Encode(s)
	if err != nil {
		t.Fatal(err)
	}
	removed := document("3")
	removed.Document.Name = "b"
	entry := func(p progdef.Pinned) contract.CatalogEntry {
		return contract.CatalogEntry{Published: contract.Published{Pinned: p}}
	}
	for what, bucket := range map[string]map[string]contract.CatalogEntry{
		"empty": nil, "behind": {"a": entry(document("1"))}, "ahead": {"a": entry(document("3"))},
		"with a removed one": {"b": entry(removed)},
	} {
		got := NewState(DefaultLimits(), bucket)
		if err := decode(got, raw); err != nil {
			t.Fatal(err)
		}
		again, err := snapshots().Encode(got)
		if err != nil || string(again) != string(raw) {
			t.Errorf("a bucket that is %s: restored\n%s, %v; want\n%s", what, again, err, raw)
		}
		if r := got.current["a"]; len(got.current) != 1 || len(got.short) != 1 || r.belowMinimum() != 1 {
			t.Errorf("a bucket that is %s: current are %v, short %v", what, got.current, got.short)
		}
	}
	// The previous version has stored no catalogue: the bucket has it.
	var stored map[string]any
	if err := json.Unmarshal(raw, &stored); err != nil {
		t.Fatal(err)
	}
	delete(stored, "current")
	if raw, err = json.Marshal(stored); err != nil {
		t.Fatal(err)
	}
	got := NewState(DefaultLimits(), map[string]contract.CatalogEntry{"a": entry(document("3"))})
	if err := decode(got, raw); err != nil || got.current["a"].Pinned.Revision != document("3").Revision {
		t.Errorf("current are %v, %v", got.current, err)
	}
}
