package spawner

import (
	"slices"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/services/spawner/backend"
)

func TestUnproved(t *testing.T) {
	s := NewState(DefaultLimits(), nil)
	began := time.Unix(1_000_000, 0)
	pinned := progdef.Pinned{Revision: "r1", Document: progdef.Document{Name: "nap", Command: []string{"sleep", "600"}}}
	Evolve(s, contract.Event{Type: contract.TypeProgdefApplied, Data: &contract.ProgdefApplied{
		Name: "nap", Revision: "r1", Document: pinned.Document,
	}})
	var running []backend.Status
	for _, id := range []string{"quiet", "proved", "draining", "waiting", "young"} {
		at := began
		if id == "young" {
			at = began.Add(time.Second)
		}
		Evolve(s, contract.Event{Type: contract.TypeExecutorStarted, Time: at, Data: &contract.ExecutorStarted{
			Executor: id, Progdef: "nap", Revision: "r1",
		}})
		running = append(running, backend.Status{Instance: backend.Instance{Executor: id, Progdef: "nap", Revision: "r1"}})
	}
	running[3].Waiting = "no machine has room"
	s.executors["proved"].Proved, s.executors["draining"].Draining = true, true
	got := s.unproved(running, began.Add(silentAfter))
	if doc, ok := got["quiet"]; !ok || len(got) != 1 || doc.Command[0] != "sleep" {
		t.Errorf("unproved are %v, want quiet", got)
	}
}

func TestUnconnected(t *testing.T) {
	const hint = `; if cat is a plain command and not an executor, run it with ` + "`dagyo exec --`" +
		`: "command": ["dagyo","exec","--","cat","-n"]`
	plain := progdef.Document{Command: []string{"cat", "-n"}}
	for _, tt := range []struct {
		exit backend.Exit
		doc  progdef.Document
		want string
	}{
		{backend.Exit{Reason: "it exited with code 0"}, plain, "it had not connected to NATS" + hint},
		{backend.Exit{Code: 2, Reason: "it exited with code 2"}, plain, "it had not connected to NATS" + hint},
		{backend.Exit{Code: 2, Reason: "it exited with code 2", Detail: "no module x"}, plain, "it had not connected to NATS"},
		{backend.Exit{Code: -1, Signal: "SIGKILL", Reason: "it ran out of memory"}, plain,
			"it ran out of memory; it had not connected to NATS" + hint},
		{backend.Exit{Reason: "it exited with code 0"}, progdef.Document{Command: []string{"/bin/dagyo-exec", "--", "cat"}},
			"it had not connected to NATS; it may be unable to reach the server"},
		{backend.Exit{Reason: "it exited with code 0"}, progdef.Document{Image: "x"},
			"it had not connected to NATS; the program of the image must be an executor; run a plain command with `dagyo exec --`"},
	} {
		if got := unconnected(tt.exit, tt.doc); got != tt.want {
			t.Errorf("%+v: %s\nwant %s", tt.exit, got, tt.want)
		}
	}
}

// Of several reasons a flow is told the same one, in whatever order the backend lists its executors.
func TestReasonsAreStable(t *testing.T) {
	running := []backend.Status{{Waiting: "b"}, {Waiting: ""}, {Waiting: "a"}}
	for range 2 {
		if why := reasons(running); why["."] != "a" {
			t.Errorf("reasons %v", why)
		}
		slices.Reverse(running)
	}
}

// An executor that exits at once is explained although its start is stored only after its exit.
func TestUnprovedExit(t *testing.T) {
	s := NewState(DefaultLimits(), nil)
	Evolve(s, contract.Event{Type: contract.TypeProgdefApplied, Data: &contract.ProgdefApplied{
		Name: "nap", Revision: "r1", Document: progdef.Document{Name: "nap", Command: []string{"sleep", "600"}},
	}})
	start := func(id string) {
		Evolve(s, contract.Event{Type: contract.TypeExecutorStarted, Data: &contract.ExecutorStarted{
			Executor: id, Progdef: "nap", Revision: "r1",
		}})
	}
	for _, id := range []string{"started", "proved", "draining"} {
		start(id)
	}
	s.executors["proved"].Proved, s.executors["draining"].Draining = true, true
	s.gone.add("reported")
	for id, want := range map[string]bool{"unknown": true, "started": true, "proved": false, "draining": false, "reported": false} {
		exit := backend.Exit{Instance: backend.Instance{Executor: id, Progdef: "nap", Revision: "r1"}}
		doc, got := s.unprovedExit(exit)
		if got != want || got && doc.Name != "nap" {
			t.Errorf("%s: %v, %+v", id, got, doc)
		}
		exit.Permanent = true
		if _, got := s.unprovedExit(exit); got {
			t.Errorf("%s: the backend knows why", id)
		}
	}
}
