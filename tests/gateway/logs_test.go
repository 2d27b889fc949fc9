package gateway

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dagyo/dagyo/pkg/access"
	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/services/dagyo/keyring"
)

// talk is a progdef whose jobs log what they read. One executor runs two of them at the same time.
const talk = `{"name": "talk", "command": ["dagyo", "exec", "--", "sh", "-c", "while read -r l; do printf '%s %b\\n' \"$DAGYO_NODE\" \"$l\" >&2; done"],
 "inputs": {"in": "utf8-string"}, "scaling": {"jobsPerExecutor": 2, "maxExecutors": 1}}`

// talks is a flow of two of them.
const talks = `{"nodes": {"left": {"progdef": "talk"}, "right": {"progdef": "talk"}}, "inputs": {"l": "left.in", "r": "right.in"}}`

// logLines decodes the lines of an answer.
func logLines(t *testing.T, body string) (out []client.LogLine) {
	t.Helper()
	for line := range strings.Lines(body) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		var l client.LogLine
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		out = append(out, l)
	}
	return out
}

func logTexts(lines []client.LogLine, job string) (out []string) {
	for _, l := range lines {
		if l.Job == job {
			out = append(out, l.Text)
		}
	}
	return out
}

// Lines arrive while the flow runs, are kept when it has ended, and the end of the flow ends the answer. Jobs in the same
// executor process are kept apart.
func TestLogs(t *testing.T) {
	do(t, "PUT", all.own+"/v1/progdefs/talk", talk).is(t, 200)
	id := fresh("talks")
	flow := all.own + "/v1/flows/" + id
	do(t, "POST", all.own+"/v1/flows?id="+id, talks, "Prefer", "wait").is(t, 202)
	follow, err := http.NewRequestWithContext(t.Context(), "GET", flow+"/logs?follow=true", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(authorize(follow))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	live := bufio.NewReader(res.Body)
	do(t, "PUT", flow+"/inputs/l", "1\n2\n3\n").is(t, 200)
	var got string
	for strings.Count(got, `"text"`) < 3 { // the flow is still running
		line, err := live.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		got += line
	}
	const hostile = `\033[2J\033]0;x\007`
	do(t, "PUT", flow+"/inputs/r", "1\n"+hostile+"\n").is(t, 200)
	rest, err := io.ReadAll(live)
	if err != nil {
		t.Fatal(err)
	}
	lines := logLines(t, got+string(rest))
	wantLog(t, lines, "left", "left 1", "left 2", "left 3")
	wantLog(t, lines, "right", "right 1", "right \x1b[2J\x1b]0;x\a")

	kept := do(t, "GET", flow+"/logs", "")
	kept.is(t, 200)
	if k := logLines(t, kept.body); !slices.Equal(k, lines) {
		t.Errorf("kept are %v, want %v", k, lines)
	}
	viewer := "Bearer " + token(t, keyring.DefaultTenant, "vic", access.Viewer)
	one := do(t, "GET", all.others+"/v1/flows/"+id+"/logs?follow=true&node=left", "", "Authorization", viewer)
	one.is(t, 200)
	if got := logLines(t, one.body); len(got) != 3 {
		t.Errorf("the viewer reads %v", got)
	}
	do(t, "GET", flow+"/logs?node=nobody", "").is(t, 404, "node not found")
	do(t, "GET", flow+"/logs?node=*", "").is(t, 400)
	do(t, "GET", all.own+"/v1/flows/"+fresh("unknown")+"/logs", "").is(t, 404, "flow not found")
	printed := dagyo(t, "logs", id, "right", "--follow")
	if strings.ContainsAny(printed, "\x1b\a") || !strings.Contains(printed, `right \x1b[2J\x1b]0;x\a`) || strings.Contains(printed, "left") {
		t.Errorf("the command prints %q", printed)
	}
}

func wantLog(t *testing.T, lines []client.LogLine, job string, want ...string) {
	t.Helper()
	if got := logTexts(lines, job); !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q", job, got, want)
	}
}

// dagyo runs the command as the own user.
func dagyo(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(all.dir, "bin", "dagyo"), append(args, "--server", all.local.URL(), "--creds", all.local.Access().Creds)...)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	return string(out)
}
