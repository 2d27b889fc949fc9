package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/event"
	"github.com/dagyo/dagyo/services/dagyo/clienttest"
)

// flows are a running one and some that have ended.
func flows() []contract.FlowStatus {
	now := time.Now()
	out := []contract.FlowStatus{{
		Flow: "runs", Phase: contract.TypeJobStarted, Owner: "ada", Submitted: now.Add(-time.Minute),
		Jobs: map[string]contract.JobStatus{"names": {Progdef: "source"}},
	}}
	for i := range 1200 {
		out = append(out, contract.FlowStatus{
			Flow: fmt.Sprintf("old-%04d", i), Phase: contract.TypeFlowCleaned, Verdict: contract.TypeFlowCancelled,
			Submitted: now.Add(-time.Duration(i+1) * time.Hour), CancelSource: "/dagyo/cli/ada", Reason: "seen <enough>",
		})
	}
	return out
}

// listed returns the first column of a table.
func listed(out string) (ids []string) {
	for line := range strings.Lines(out) {
		ids = append(ids, strings.Fields(line)[0])
	}
	return ids[1:]
}

func TestLs(t *testing.T) {
	s := clienttest.Start(t, flows()...)
	for flags, want := range map[string]string{
		"--live":                               "runs",
		"-n 2":                                 "runs old-0000",
		"--state running":                      "runs",
		"--state flow.cancelled -n 1":          "old-0000",
		"--state panic --state rejected":       "",
		"--since 2h30m --until 90m":            "old-0001",
		"--progdef source":                     "runs",
		"--owner ada":                          "runs",
		"--owner ada --search old":             "",
		"--search 0017":                        "old-0017",
		"--search <enough> -n 1 --until 2h30m": "old-0002",
	} {
		code, out, err := call(t, "", append([]string{"ls", "-s", s.URL}, strings.Fields(flags)...)...)
		if got := strings.Join(listed(out), " "); code != ExitOK || got != want {
			t.Errorf("ls %s: %d, %q, want %q\n%s", flags, code, got, want, err)
		}
	}
	if _, out, _ := call(t, "", "ls", "-s", s.URL, "-n", "0"); len(listed(out)) != 1201 {
		t.Errorf("all are %d", len(listed(out)))
	}
}

func TestLsAsJSON(t *testing.T) {
	s := clienttest.Start(t, flows()...)
	for limit, want := range map[string]int{"0": 1201, "1": 1, "1100": 1100} {
		_, out, _ := call(t, "", "ls", "-s", s.URL, "-o", "json", "-n", limit)
		var list []contract.FlowLine
		if err := json.Unmarshal([]byte(out), &list); err != nil || len(list) != want {
			t.Errorf("-n %s: %d flows, %v", limit, len(list), err)
		}
	}
	if _, out, _ := call(t, "", "ls", "-s", s.URL, "-o", "json", "--state", "panic"); out != "[]\n" {
		t.Errorf("no flows are %q", out)
	}
}

func TestLsExplainsItsFlags(t *testing.T) {
	for flags, want := range map[string]string{
		"--state happy":     "must be one of submit, rejected, validated",
		"--since yesterday": "must be a duration such as 24h, or a time such as 20",
		"-n -1":             "must be 0 or more",
	} {
		code, _, err := call(t, "", append([]string{"ls", "-s", "nats://127.0.0.1:1"}, strings.Fields(flags)...)...)
		if code != ExitUsage || !strings.Contains(err, want) {
			t.Errorf("ls %s: %d, %s", flags, code, err)
		}
	}
	s := clienttest.Start(t)
	code, _, err := call(t, "", "ls", "-s", s.URL, "--progdef", "a b")
	if code != ExitFailed || !strings.Contains(err, "progdef: \"a b\" is not a name") {
		t.Errorf("%d, %s", code, err)
	}
}

func TestCompletionsOfFlows(t *testing.T) {
	s := clienttest.Start(t, flows()...)
	_, out, _ := call(t, "", "__complete", "-s", s.URL, "show", "")
	if !strings.HasPrefix(out, "runs\nold-0000\n") || strings.Count(out, "\n") > completions+2 {
		t.Errorf("ids: %s", out)
	}
	_, out, _ = call(t, "", "__complete", "ls", "--state", "")
	if !strings.Contains(out, "running\ncompleted\n") {
		t.Errorf("states: %s", out)
	}
}

// The events of a flow may be gone, all or the first ones, or the verdict.
func TestFlowsWhoseEventsAreGone(t *testing.T) {
	s := clienttest.Start(t, flows()...)
	publish := func(typ contract.Type, flow string, data any) {
		s.Publish(t, event.New(typ, "/test", flow, data, time.Now()))
	}
	publish(contract.TypeFlowCleaned, "old-0001", &contract.FlowCleaned{})
	publish(contract.TypeFlowCancelled, "old-0002", &contract.FlowCancelled{Source: "/dagyo/cli/ada"})
	for flow, gone := range map[string]bool{"old-0000": true, "old-0001": true, "old-0002": false} {
		code, out, err := call(t, "", "watch", "-s", s.URL, flow)
		if code != ExitCancelled || strings.Contains(err, "no longer stored") != gone ||
			strings.Contains(out, "flow "+flow+": cancelled") != gone {
			t.Errorf("watch %s: %d\n%s%s", flow, code, out, err)
		}
	}
	code, out, err := call(t, "", "watch", "-s", s.URL, "-o", "json", "old-0000")
	if code != ExitCancelled || !strings.HasPrefix(out, `{"flow":"old-0000"`) {
		t.Errorf("%d\n%s%s", code, out, err)
	}
	code, _, err = call(t, "", "cancel", "-s", s.URL, "old-0000")
	if code != ExitOK || !strings.Contains(err, "by /dagyo/cli/ada (not proven): seen <enough>") {
		t.Errorf("cancel: %d\n%s", code, err)
	}
	if code, _, _ := call(t, "", "show", "-s", s.URL, "nothing"); code != ExitNotFound {
		t.Errorf("show nothing: %d", code)
	}
}

// A flow is not followed for a verdict that is no longer stored.
func TestVerdictsWhoseEventsAreGone(t *testing.T) {
	const document = `{"nodes":{},"edges":[]}`
	s := clienttest.Start(t,
		contract.FlowStatus{Flow: "gone", Phase: contract.TypeFlowCleaned, Verdict: contract.TypeFlowCancelled, Document: digest([]byte(document))},
		contract.FlowStatus{Flow: "cleaned", Phase: contract.TypeFlowCleaned, Verdict: contract.TypeFlowCancelled, Document: digest([]byte(document))},
		contract.FlowStatus{Flow: "refused", Phase: contract.TypeFlowRejected, Verdict: contract.TypeFlowRejected},
	)
	s.Publish(t, event.New(contract.TypeFlowCleaned, "/test", "cleaned", &contract.FlowCleaned{}, time.Now()))
	for args, want := range map[string]struct {
		code int
		says string
	}{
		"submit --wait --id gone -":    {ExitCancelled, "flow gone was cancelled"},
		"submit --wait --id cleaned -": {ExitCancelled, "flow cleaned was cancelled"},
		"attach refused":               {ExitRejected, "flow refused was rejected"},
	} {
		code, _, err := call(t, document, append([]string{"-s", s.URL}, strings.Fields(args)...)...)
		if code != want.code || !strings.Contains(err, want.says) {
			t.Errorf("%s: %d\n%s", args, code, err)
		}
	}
}
