package event

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
)

// FuzzMembers compares members with the standard library's decoder.
func FuzzMembers(f *testing.F) {
	for _, seed := range []string{
		`{}`, ` { } `, `{"a":1}`, `{"a" : [ {"b":"]}\"" } , 2 ] , "c":null}`, `{"a":-1.5e3,"a":true}`,
		`{"\u0061\\":"\\"}`, `{"é":"\ud83d"}`, `[]`, `"x"`, `7`, ``, `{`, `{"a":1}x`, "\u0085{}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got := map[string]json.RawMessage{}
		err := members(body, func(name string, value json.RawMessage) error {
			got[name] = value
			return nil
		})
		var want map[string]json.RawMessage
		wantErr := json.Unmarshal(body, &want)
		if wantErr == nil && want == nil {
			return // null
		}
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%v, want %v", err, wantErr)
		}
		if err == nil && !reflect.DeepEqual(got, want) {
			t.Fatalf("%q, want %q", got, want)
		}
		for _, value := range got {
			var s string
			if value[0] == '"' && json.Unmarshal(value, &s) == nil && unquote(bytes.Clone(value)) != s {
				t.Fatalf("%s is %q, want %q", value, unquote(value), s)
			}
		}
	})
}
