package local_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/services/dagyo/local"
)

// ask asks the way an editor would, with nothing but NATS.
func ask(t *testing.T, l *local.Local, subject, question string) *nats.Msg {
	t.Helper()
	nc, err := nats.Connect(l.URL(), nats.UserCredentials(l.Credentials()), nats.CustomInboxPrefix("_INBOX.person.test"))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	m, err := nc.Request(subject, []byte(question), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestCompatiblePorts(t *testing.T) {
	l, c := start(t, t.TempDir())
	defer stop(t, l, c)
	const tee = `{"name": "tee", "typeParams": ["T"], "inputs": {"in": "T"},
		"outputs": {"left": "T", "right": "T"}, "command": ["true"]}`
	if _, err := c.Apply(t.Context(), "tee", []byte(tee)); err != nil {
		t.Fatal(err)
	}
	m := ask(t, l, contract.AskCatalogCompatible, `{"node": "t", "port": "right", "flow": {
		"nodes": {"s": {"progdef": "source"}, "t": {"progdef": "tee"}, "h": {"progdef": "greet"}},
		"edges": [{"from": "s.name", "to": "t.in"}]}}`)
	var answer contract.CatalogCompatible
	if err := json.Unmarshal(m.Data, &answer); err != nil || answer.Compatibility == nil {
		t.Fatalf("%s: %v", m.Data, err)
	}
	var got []string
	for _, f := range answer.Ports {
		got = append(got, f.Node+"/"+f.Progdef+"."+f.Port)
	}
	all := strings.Join(got, " ")
	if answer.Type != "utf8-string" || !strings.HasPrefix(all, "h/.name ") ||
		!strings.Contains(all, " /tee.in") || strings.Contains(all, "t/") {
		t.Errorf("%s", m.Data)
	}
	m = ask(t, l, contract.AskCatalogCompatible,
		`{"progdef": "tee", "port": "in", "limit": 1}`)
	if !strings.Contains(string(m.Data), `"omitted":`) {
		t.Errorf("one port at most is answered with %s", m.Data)
	}
	m = ask(t, l, contract.AskCatalogCompatible, `{"prt": 1}`)
	if !strings.Contains(string(m.Data), `"problems":[{"code":"schema"`) {
		t.Errorf("a bad question is answered with %s", m.Data)
	}
}
