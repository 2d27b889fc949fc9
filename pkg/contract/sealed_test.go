package contract_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/dagyo/dagyo/pkg/contract"
)

func sealedAddress() (contract.Address, string) {
	key := contract.Key(strings.Repeat("\x07k", 16))
	a := contract.EdgeAddress("0", "f", 1, 8<<20, 128, "octets")
	a.Salt = "salt"
	return a.WithKey(key), base64.StdEncoding.EncodeToString(key)
}

// The limits are with the key: an executor that does not know sealed edges finds a window of 0, and refuses it.
func TestAddressWithKey(t *testing.T) {
	a, key := sealedAddress()
	raw, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	var old struct {
		Window, Frames int64
		Sealed         struct{ Key string }
	}
	if err := json.Unmarshal(raw, &old); err != nil || old.Window != 0 || old.Frames != 0 || old.Sealed.Key != key {
		t.Errorf("%s, %v", raw, err)
	}
	var again contract.Address
	if err := json.Unmarshal(raw, &again); err != nil || string(again.Sealed.Key) != string(a.Sealed.Key) {
		t.Errorf("decoded %+v, %v", again, err)
	}
	if l := again.Limits(); l.Window != 8<<20 || l.Frames != 128 || l.Sealed != nil {
		t.Errorf("limits %+v", l)
	}
}

func TestKeysAreNotPrinted(t *testing.T) {
	a, key := sealedAddress()
	j := contract.Job{Inputs: map[string]contract.Address{"in": a}}
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		for _, x := range []any{a.Sealed.Key, *a.Sealed, a, j, contract.FlowKeys{Keys: map[string]contract.Key{"e": a.Sealed.Key}}} {
			text := fmt.Sprintf(format, x)
			if strings.Contains(text, key) || strings.Contains(text, string(a.Sealed.Key)) || strings.Contains(text, "076b076b") {
				t.Errorf("%s of %T: %s", format, x, text)
			}
		}
	}
}

func TestWithoutSender(t *testing.T) {
	for subject, want := range map[string]string{
		"edges.0.f.frame.1.2.by.greet-1": "edges.0.f.frame.1.2",
		"edges.0.f.credit.1.by.-":        "edges.0.f.credit.1",
		"edges.0.f.credit.1":             "edges.0.f.credit.1",
		"edges.0.by.frame.1.2":           "edges.0.by.frame.1.2",
		"edges.0.by.credit.1":            "edges.0.by.credit.1",
		"ask.flow.keys.by.ada":           "ask.flow.keys",
		"ask.flow.keys":                  "ask.flow.keys",
	} {
		if got := contract.WithoutSender(subject); got != want {
			t.Errorf("%s: %s", subject, got)
		}
	}
	if who := contract.Asker("ask.flow.keys.by.ada"); who.Name != "ada" || who.Operator {
		t.Errorf("%+v", who)
	}
	if got := contract.EdgeOfCredit("edges.0.credit.credit.1"); got != "edges.0.credit.frame.1" {
		t.Error(got)
	}
}
