package event_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/dagyo/dagyo/pkg/event"
)

// submission is a flow.submit in structured mode with one attribute replaced; "" leaves it out.
func submission(name, value string) []byte {
	members := []string{`"data":{"nodes":{}}`}
	for _, a := range [][2]string{
		{"specversion", `"1.0"`}, {"id", `"7"`}, {"source", `"/me"`}, {"type", `"flow.submit"`}, {name, value},
	} {
		if a[0] == name && a[1] != value || a[1] == "" {
			continue
		}
		members = append(members, fmt.Sprintf("%q:%s", a[0], a[1]))
	}
	return []byte("{" + strings.Join(members, ",") + "}")
}

// Each attribute has its own hint on how to write it.
func TestHintsOfAttributes(t *testing.T) {
	tests := []struct{ name, value, message, hint string }{
		{"specversion", "", "specversion is missing", "the text 1.0"},
		{"specversion", `"0.3"`, `specversion is wrong: "0.3"`, "the text 1.0"},
		{"specversion", `1`, `specversion is wrong: "1"`, "the text 1.0"},
		{"id", "", "id is missing", "UUID"},
		{"id", `""`, "id is wrong: it is empty", "UUID"},
		{"source", "", "source is missing", "/my-team/my-app"},
		{"source", `"%zz"`, `source is wrong: "%zz": invalid URL escape`, "/my-team/my-app"},
		{"type", "", "type is missing", "flow.submit"},
		{"time", `"yesterday"`, `time is wrong: "yesterday": it is not a time of RFC 3339`, "2026-03-01T12:00:00Z"},
		{"time", `"2026-03-01T12:00:00,5Z"`, `time is wrong: "2026-03-01T12:00:00,5Z": it is not a time of RFC 3339`,
			"2026-03-01T12:00:00Z"},
		{"time", `"2026-03-01T1:00:00.05Z"`, `time is wrong`, "2026-03-01T12:00:00Z"},
		{"time", `"2026-03-01T12:00:00+24:00"`, `time is wrong`, "2026-03-01T12:00:00Z"},
		{"time", `"2026-03-01T12:00:00"`, `time is wrong`, "2026-03-01T12:00:00Z"},
		{"time", `"2026-03-01T12:00:00."`, `time is wrong`, "2026-03-01T12:00:00Z"},
		{"time", `""`, `time is wrong: it is empty`, "2026-03-01T12:00:00Z"},
		{"time", `1772366400`, `time is wrong`, "2026-03-01T12:00:00Z"},
		{"time", `"2026-03-01"`, `time is wrong: "2026-03-01"`, "2026-03-01T12:00:00Z"},
		{"time", `"2026-03-01T12:00:60Z"`, `time is wrong`, "2026-03-01T12:00:00Z"},
		{"dataschema", `"flow.json"`, "dataschema is wrong", "absolute URI"},
		{"datacontenttype", `"/"`, "datacontenttype is wrong", "application/json"},
		{"my-team", `"x"`, "my-team is wrong", "lower-case letters and digits"},
		{"subject", `5`, `subject is wrong: "5": it has the wrong type`, "the name that the event is about"},
		{"team", `{"a":1}`, `team is wrong: "map[a:1]": it has the wrong type`, "a text, a boolean or"},
	}
	for _, tt := range tests {
		_, err := event.Decode("flow.submit", nil, submission(tt.name, tt.value))
		var u *event.Unreadable
		if tt.name == "specversion" && tt.value == "" {
			_, err = event.Decode("flow.submit", structuredHeader(), submission(tt.name, tt.value))
		}
		if !errors.As(err, &u) {
			t.Errorf("%s %s: %v", tt.name, tt.value, err)
			continue
		}
		found := false
		for _, p := range u.Problems {
			found = found || p.Pointer == "/"+tt.name && strings.Contains(p.Message, tt.message) &&
				strings.Contains(p.Hint, tt.hint)
		}
		if !found {
			t.Errorf("%s %s: got %v, want a problem with %q and the hint %q", tt.name, tt.value, u.Problems, tt.message, tt.hint)
		}
	}
}

// RFC 3339 allows lower-case letters and leap seconds.
func TestTimesOfRFC3339(t *testing.T) {
	for text, want := range map[string]string{
		"2026-03-01T12:00:00Z":           "2026-03-01T12:00:00Z",
		"2026-03-01t12:00:00z":           "2026-03-01T12:00:00Z",
		"2026-03-01t12:00:00.25+01:00":   "2026-03-01T11:00:00.25Z",
		"2016-12-31T23:59:60Z":           "2017-01-01T00:00:00Z",
		"2016-12-31t23:59:60.5z":         "2017-01-01T00:00:00.5Z",
		"2016-12-31T15:59:60-08:00":      "2017-01-01T00:00:00Z",
		"2026-03-01T12:00:00.123456789z": "2026-03-01T12:00:00.123456789Z",
	} {
		e, err := event.Decode("flow.submit", nil, submission("time", fmt.Sprintf("%q", text)))
		if got := e.Time.UTC().Format("2006-01-02T15:04:05.999999999Z07:00"); err != nil || got != want {
			t.Errorf("%s: got %s, %v; want %s", text, got, err, want)
		}
	}
}

// A byte-order mark before an event or its data is not part of it.
func TestByteOrderMarks(t *testing.T) {
	const bom, flow = "\ufeff", `{"nodes":{}}`
	binary := nats.Header{
		"ce-specversion": {"1.0"}, "ce-id": {"7"}, "ce-source": {"/me"}, "ce-type": {"flow.submit"},
	}
	encoded := fmt.Sprintf(`{"specversion":"1.0","id":"7","source":"/me","type":"flow.submit","data_base64":%q}`,
		base64.StdEncoding.EncodeToString([]byte(bom+flow)))
	for name, m := range map[string]struct {
		header nats.Header
		body   string
	}{
		"structured": {structuredHeader(), bom + string(submission("", ""))},
		"bare":       {nil, bom + string(submission("", ""))},
		"binary":     {binary, bom + flow},
		"base64":     {structuredHeader(), encoded},
	} {
		e, err := event.Decode("flow.submit", m.header, []byte(m.body))
		if err != nil || string(e.Raw) != flow {
			t.Errorf("%s: got %q, %v", name, e.Raw, err)
		}
	}
}

// An unreadable event still identifies its sender.
func TestUnreadableKeepsSourceAndID(t *testing.T) {
	for _, body := range []string{
		string(submission("time", `"never"`)),
		strings.TrimSuffix(string(submission("", "")), "}"),
	} {
		e, err := event.Decode("flow.submit", structuredHeader(), []byte(body))
		if err == nil || e.ID != "7" || e.Source != "/me" {
			t.Errorf("%s: got id %q, source %q, %v", body, e.ID, e.Source, err)
		}
	}
}

func TestBrokenJSONIsShown(t *testing.T) {
	_, err := event.Decode("flow.submit", structuredHeader(), []byte("{\"specversion\": \"1.0\",\n \"id\": nope}"))
	for _, want := range []string{"line 2, column 9", "invalid character", `begins with "{\"specversion\"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
