package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/dagyo/dagyo/pkg/access"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/services/dagyo/cli"
	"github.com/dagyo/dagyo/services/spawner"
	"github.com/dagyo/dagyo/tests/harness"
)

// others are the subjects outside of the JetStream API that clients and executors publish on.
var others = []string{
	"flow.submit", "flow.cancel", "progdef.apply", "progdef.remove", "type.apply", "webhook.>", "deadletter", "ask.>", "client.>", "release.>",
	"edges.>", "direct.>", "health.>", "job.>", "executor.>", "name.*", "_INBOX.>", "$SRV.>", "$O.data.>", "$JS.ACK.>",
}

// TestEachRoleMakesOnlyItsCalls runs the verbs of the command and executors as users of a server that refuses every
// call of the JetStream API but those in the table of their role.
func TestEachRoleMakesOnlyItsCalls(t *testing.T) {
	o := harness.DefaultOptions()
	o.MaxPayload, o.Without = 256<<10, []string{spawner.Name}
	s := harness.Start(t, o)
	c := s.Client(t)
	c.ApplyStandard(t)
	violations := restrict(t, s, c)
	s.Reconfigure(func(o *harness.Options) { o.Spawner.Queue = as(s, access.Executor) })
	s.StartService(t, spawner.Name)
	c.ApplyFaulty(t, harness.Faulty{Name: "sink", In: true})
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	names := file("names.txt", "Ada\nGrace\n")
	greet := file("greet.json", `{"nodes": {"hello": {"progdef": "greet"}}, "inputs": {"names": "hello.name"}, "outputs": {"greetings": "hello.greeting"}}`)
	large := file("large.json", `{"nodes": {"a": {"progdef": "sink", "with": {"in": [`+strings.Repeat(`"`+strings.Repeat("x", 60_000)+`", `, 6)+`"x"]}}}}`)
	idle := file("idle.json", `{"nodes": {"a": {"progdef": "sink"}}, "inputs": {"names": "a.in"}}`)
	doc := file("own.json", `{"name": "own", "inputs": {"in": "utf8-string"}, "outputs": {}, "command": ["cat"]}`)
	hook := file("hook.json", `{"name": "own", "url": "https://hooks.example.com/"}`)
	for _, verb := range []struct {
		role access.Role
		args string
		code int
	}{
		{access.User, "run --progress none --id fed --input names=" + names + " " + greet, 0},
		{access.User, "submit --wait --id large " + large, 0},
		{access.User, "submit --id idle " + idle, 0},
		{access.User, "attach --progress none idle --input names=" + names, 0},
		{access.User, "submit --id gone " + idle, 0},
		{access.User, "cancel gone", 0},
		{access.User, "validate " + greet, 0},
		{access.Viewer, "watch fed", 0},
		{access.Viewer, "watch large", 0},
		{access.Viewer, "show fed", 0},
		{access.Viewer, "ls", 0},
		{access.Viewer, "events show 1", 0},
		{access.Viewer, "progdef ls", 0},
		{access.Viewer, "types", 0},
		{access.Viewer, "health", 0},
		{access.Publisher, "progdef apply " + doc, 0},
		{access.Publisher, "progdef rm own", 0},
		{access.Publisher, "webhook apply " + hook, 0},
		{access.Viewer, "webhook show own", 0},
		{access.Publisher, "webhook rm own", 0},
		{access.Operator, "events skip 1 --reason test", 0},
	} {
		if code, out := command(t, as(s, verb.role), verb.args); code != verb.code {
			t.Errorf("%s: dagyo %s: exit code %d: %s", verb.role, verb.args, code, out)
		}
	}
	for _, v := range violations() {
		t.Error(v)
	}
}

// restrict makes each role a user of the server.
func restrict(t *testing.T, s *harness.Stack, c *harness.Client) (violations func() []string) {
	t.Helper()
	var users []*server.User
	for _, role := range append(access.Persons(), access.Executor) {
		allowed := append([]string(nil), others...)
		for _, call := range access.Calls(role) {
			allowed = append(allowed, expanded(t, c, call)...)
		}
		users = append(users, &server.User{Username: string(role), Password: "x", Permissions: &server.Permissions{
			Publish: &server.SubjectPermission{Allow: allowed},
		}})
	}
	return s.Server.Restrict(t, users...)
}

// expanded returns a call for each shard.
func expanded(t *testing.T, c *harness.Client, call access.Call) (out []string) {
	t.Helper()
	for name := range c.JS.StreamNames(t.Context()).Name() {
		if shard, is := strings.CutPrefix(name, contract.EdgeStreamPrefix); is {
			// An executor's own mailbox is a matter of its credential.
			out = append(out, call.Expand(map[string]string{"shard": shard, "mailbox": "*"}))
		}
	}
	return out
}

func as(s *harness.Stack, role access.Role) string {
	return strings.Replace(s.Server.ClientURL(), "nats://", "nats://"+string(role)+":x@", 1)
}

// command runs the command dagyo.
func command(t *testing.T, url, args string) (code int, out string) {
	t.Helper()
	var said bytes.Buffer
	code = cli.Run(t.Context(), cli.Invocation{
		Args: append([]string{"-s", url}, strings.Fields(args)...), In: strings.NewReader(""), Out: &said, Err: &said,
		Env: func(string) string { return "" }, Signals: make(chan os.Signal),
	})
	return code, said.String()
}

// A mailbox that disappears is created again, and executors wait for it.
func TestALostMailboxComesBack(t *testing.T) {
	s := harness.Start(t, harness.DefaultOptions())
	c := s.Client(t)
	c.Apply(t, `{"name": "sink", "inputs": {"in": "utf8-string"}, "outputs": {}, "command": ["dagyo", "faulty", "sink"],
		"scaling": {"minExecutors": 1}}`)
	started := c.Await(t, "executor", func(e contract.Event) bool { return e.Type == contract.TypeExecutorStarted }).
		Data.(*contract.ExecutorStarted)
	name := contract.MailboxConsumer(started.Progdef, started.Revision)
	await(t, "mailbox of an executor without a job", func() bool {
		_, err := c.JS.Consumer(t.Context(), contract.StreamJobs, name)
		return err == nil
	})
	if err := c.JS.DeleteConsumer(t.Context(), contract.StreamJobs, name); err != nil {
		t.Fatal(err)
	}
	await(t, "mailbox after it was deleted", func() bool {
		_, err := c.JS.Consumer(t.Context(), contract.StreamJobs, name)
		return err == nil
	})
	doc, err := json.Marshal(map[string]any{"nodes": map[string]any{
		"a": map[string]any{"progdef": "sink", "with": map[string]any{"in": []string{"x"}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	c.Submit(t, "f", string(doc))
	completed(t, c.AwaitEnd(t, "f"))
}

// await waits until a condition holds.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	end := time.Now().Add(time.Minute)
	for !holds() {
		if time.Now().After(end) {
			t.Fatal("no " + what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
