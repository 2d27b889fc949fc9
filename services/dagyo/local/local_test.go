package local_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/dagyo/dagyo/executor"
	"github.com/dagyo/dagyo/executor/std"
	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/stream"
	"github.com/dagyo/dagyo/services/dagyo/embedded"
	"github.com/dagyo/dagyo/services/dagyo/local"
	"github.com/dagyo/dagyo/services/dagyo/settings"
	"github.com/dagyo/dagyo/services/spawner/process"
)

// envSelf makes the test binary behave as the dagyo command.
const envSelf = "LOCAL_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(envSelf) == "" {
		goleak.VerifyTestMain(m)
		return
	}
	if os.Args[1] == "supervise" {
		os.Exit(process.Supervise(os.Args[2]))
	}
	s, _ := std.Find(os.Args[2])
	executor.Main(s.Program)
}

func config(t testing.TB, dir string) local.Config {
	t.Helper()
	s := settings.Default()
	if err := s.Resolve(zerolog.Nop()); err != nil {
		t.Fatal(err)
	}
	return local.Config{
		Dir: dir, Port: embedded.RandomPort, Services: s, Source: "/test", Log: zerolog.Nop(),
		Process: process.Config{SelfEnv: map[string]string{envSelf: "1"}},
	}
}

func start(t *testing.T, dir string) (*local.Local, *client.Client) {
	t.Helper()
	return startWith(t, config(t, dir))
}

func startWith(t *testing.T, c local.Config) (*local.Local, *client.Client) {
	t.Helper()
	l, err := local.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	mine, err := client.Connect(t.Context(), client.Options{
		URL: l.URL(), Access: broker.Access{Creds: l.Credentials()}, Source: "/test",
	})
	if err != nil {
		t.Fatal(err)
	}
	return l, mine
}

func stop(t *testing.T, l *local.Local, c *client.Client) {
	t.Helper()
	c.Close()
	if err := l.Stop(context.Background(), local.Stop{Patience: time.Minute}); err != nil {
		t.Error(err)
	}
}

// verdict submits a flow and waits for the event that ends it.
func verdict(t *testing.T, c *client.Client, flow, document string) contract.Event {
	t.Helper()
	if _, err := c.Submit(t.Context(), flow, []byte(document)); err != nil {
		t.Fatal(err)
	}
	feed, err := c.Follow(t.Context(), client.Start{}, client.FlowSubjects(flow)...)
	if err != nil {
		t.Fatal(err)
	}
	defer feed.Close()
	for {
		e, err := feed.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if contract.IsVerdict(e.Type) || e.Type == contract.TypeFlowRejected {
			return e
		}
	}
}

const namesToNowhere = `{
	"nodes": {"names": {"progdef": "source"}, "end": {"progdef": "void_sink"}},
	"edges": [{"from": "names.name", "to": "end.in"}]
}`

func TestFlowsRunAndNothingIsLeft(t *testing.T) {
	l, c := start(t, t.TempDir())
	defer stop(t, l, c)
	e := verdict(t, c, "one", namesToNowhere)
	d, ok := e.Data.(*contract.FlowCompleted)
	if !ok || d.Edges[0].Received.Records != 26 {
		t.Errorf("got %s: %+v", e.Type, e.Data)
	}
	select {
	case err := <-l.Failed():
		t.Error(err)
	default:
	}
}

func TestRunningExecutorsAreFound(t *testing.T) {
	dir := t.TempDir()
	check := func(want bool) {
		t.Helper()
		if got, err := local.Running(t.Context(), dir); err != nil || got != want {
			t.Errorf("executors are running: %v, %v; want %v", got, err, want)
		}
	}
	check(false)
	if all, err := os.ReadDir(dir); err != nil || len(all) != 0 {
		t.Errorf("the check created %v, %v", all, err)
	}
	l, c := start(t, dir)
	verdict(t, c, "one", namesToNowhere)
	check(true)
	stop(t, l, c)
	check(false)
}

func TestOneAtATimeOnADirectory(t *testing.T) {
	dir := t.TempDir()
	l, c := start(t, dir)
	if _, err := local.Start(t.Context(), config(t, dir)); !errors.Is(err, local.ErrInUse) {
		t.Errorf("a second start: %v", err)
	}
	stop(t, l, c)
	l, c = start(t, dir) // it was let go
	stop(t, l, c)
}

func TestFailedStartLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	l, c := start(t, t.TempDir())
	taken := config(t, dir)
	taken.Port = port(t, c)
	if _, err := local.Start(t.Context(), taken); err == nil {
		t.Error("two on one port")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := local.Start(ctx, config(t, dir)); err == nil {
		t.Error("it started although its context had ended")
	}
	stop(t, l, c)
	l, c = start(t, dir)
	stop(t, l, c)
}

// A user's own progdef under a standard name stays, an outdated standard one is replaced.
func TestStandardProgdefsAreKeptUpToDate(t *testing.T) {
	dir := t.TempDir()
	l, c := start(t, dir)
	standard := catalog(t, c)
	if len(standard) != len(std.Standard()) {
		t.Errorf("the catalogue holds %v", standard)
	}
	for name, command := range map[string]string{
		"greet": `["my-own-greeter"]`, "source": `["dagyo", "executor", "source"]`,
	} {
		doc := `{"name": "` + name + `", "command": ` + command + `, "outputs": {"name": "json"}}`
		if _, err := c.Apply(t.Context(), name, []byte(doc)); err != nil {
			t.Fatal(err)
		}
	}
	own := catalog(t, c)
	stop(t, l, c)

	l, c = start(t, dir)
	defer stop(t, l, c)
	now := catalog(t, c)
	if now["greet"] != own["greet"] {
		t.Errorf("the user's own greet was replaced: %v", now)
	}
	if now["source"] != standard["source"] {
		t.Errorf("the outdated source was not replaced: %v", now)
	}
}

func catalog(t *testing.T, c *client.Client) map[string]string {
	t.Helper()
	all, err := c.Catalog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]string)
	for _, p := range all {
		out[p.Document.Name] = p.Revision
	}
	return out
}

func TestClientSeesWhatIsNotThere(t *testing.T) {
	l, c := start(t, t.TempDir())
	defer stop(t, l, c)
	if _, err := c.Flow(t.Context(), "nothing"); !errors.Is(err, client.ErrUnknownFlow) {
		t.Errorf("a flow that never was: %v", err)
	}
	if _, err := c.Progdef(t.Context(), "nothing"); !errors.Is(err, client.ErrUnknownProgdef) {
		t.Errorf("a progdef that never was: %v", err)
	}
	if err := c.Remove(t.Context(), "nothing"); !errors.Is(err, client.ErrUnknownProgdef) {
		t.Errorf("removing it: %v", err)
	}
	if _, problems, err := c.Validate(t.Context(), []byte(`{"nods": {}}`)); err != nil ||
		len(problems) == 0 {
		t.Errorf("a bad document: %v, %v", problems, err)
	}
}

// A panicking flow's output has no end; what was written before the panic is read all the same.
func TestOutputsOfAFailedFlowAreRead(t *testing.T) {
	l, c := start(t, t.TempDir())
	defer stop(t, l, c)
	const crash = `{"name": "crash", "outputs": {"out": "json"}, "command": ["sh", "-c", "exit 3"]}`
	if _, err := c.Apply(t.Context(), "crash", []byte(crash)); err != nil {
		t.Fatal(err)
	}
	e := verdict(t, c, "fails", `{
		"nodes": {
			"names": {"progdef": "source"}, "hello": {"progdef": "greet"}, "boom": {"progdef": "crash"}
		},
		"edges": [{"from": "names.name", "to": "hello.name"}],
		"outputs": {"good": "hello.greeting", "bad": "boom.out"}
	}`)
	if d, ok := e.Data.(*contract.FlowPanic); !ok || d.Cause.Kind != contract.KindCrash {
		t.Fatalf("got %s: %+v", e.Type, e.Data)
	}
	s, err := c.Flow(t.Context(), "fails")
	if err != nil {
		t.Fatal(err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for output, job := range map[string]string{"good": "hello", "bad": "boom"} {
		n, err := c.Read(t.Context(), over, s.Outputs[output], func([]byte) error { return nil })
		if errors.Is(err, stream.ErrCut) {
			err = nil
		}
		sent := s.Jobs[job].Outputs["greeting"].Records
		if err != nil || n.Records > sent || n.Records < sent && s.Jobs[job].State == contract.JobEnded {
			t.Errorf("read %d records of %s, %d were sent: %v", n.Records, output, sent, err)
		}
	}
}

// port is where the client's server listens.
func port(t *testing.T, c *client.Client) int {
	t.Helper()
	var n int
	if err := json.Unmarshal([]byte(c.URL()[len("nats://127.0.0.1:"):]), &n); err != nil {
		t.Fatal(err)
	}
	return n
}
