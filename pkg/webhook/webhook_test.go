package webhook

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/problem"
)

func TestCheck(t *testing.T) {
	for url, why := range map[string]string{
		"https://hooks.example.com/dagyo?token=x": "", "https://192.0.2.7:8443/": "", "http://localhost:9000": "", "https://[2001:db8::1]/": "",
		"hooks.example.com": "neither https", "ftp://example.com": "neither https", "https://": "no host", "https:///x": "no host",
		"https://ada:secret@example.com": "user name", "https://example.com/#x": "fragment", "https://2130706433/": "unusual",
		"https://0x7f.1/": "unusual", "https://exa mple.com": "not a URL", "https://example.com/\u007f": "not a URL", "https://%zz/": "not a URL",
		"": "",
	} {
		d, problems := Check([]byte(`{"name": "orders", "url": `+quote(url)+`}`), document.DefaultLimits())
		bad := problems.Error()
		switch {
		case url == "": // the schema refuses it
			if len(problems) != 1 || problems[0].Code != problem.SchemaMismatch {
				t.Errorf("an empty URL: %v", problems)
			}
		case why == "" && (len(problems) > 0 || d.URL != url || !slices.Equal(d.Events, DefaultEvents())):
			t.Errorf("%s: %v, %+v", url, problems, d)
		case why != "" && (len(problems) != 1 || problems[0].Code != problem.BadURL || problems[0].Pointer != "/url" || !strings.Contains(bad, why)):
			t.Errorf("%s: %v", url, problems)
		}
		if strings.Contains(bad, "secret") {
			t.Errorf("a problem quotes a password: %s", bad)
		}
	}
	_, problems := Check([]byte(`{"name": "Orders", "url": "x", "events": ["flow.planned"], "users": [], "more": 1}`), document.DefaultLimits())
	var at []string
	for _, p := range problems {
		at = append(at, p.Pointer)
	}
	slices.Sort(at)
	if want := []string{"/events/0", "/more", "/name", "/url", "/users"}; !slices.Equal(at, want) {
		t.Errorf("problems at %v, want %v", at, want)
	}
}

func quote(s string) string { return `"` + strings.ReplaceAll(s, "\x7f", `\u007f`) + `"` }

func TestSelects(t *testing.T) {
	for _, c := range []struct {
		d     Document
		owner string
		of    []string
		want  bool
	}{
		{Document{}, "", nil, true},
		{Document{Users: []string{"ada"}}, "ada", nil, true},
		{Document{Users: []string{"ada"}}, "bob", nil, false},
		{Document{Users: []string{"ada"}}, "", nil, false},
		{Document{Progdefs: []string{"caption", "x"}}, "", []string{"greet", "caption"}, true},
		{Document{Progdefs: []string{"caption"}}, "", []string{"greet"}, false},
		{Document{Users: []string{"ada"}, Progdefs: []string{"caption"}}, "bob", []string{"caption"}, false},
	} {
		if got := c.d.Selects(c.owner, c.of); got != c.want {
			t.Errorf("%+v of %s with %v: %v", c.d, c.owner, c.of, got)
		}
	}
}

func TestMasked(t *testing.T) {
	for url, want := range map[string]string{
		"https://example.com/a?token=x": "https://example.com/a?…", "https://example.com/a": "https://example.com/a",
		"https://u:p@example.com/": "https://example.com/", "://": "…",
	} {
		if got := Masked(url); got != want {
			t.Errorf("%s: %s", url, got)
		}
	}
}

// The signature is that of the specification: over the id, the time and the body, separated by dots.
func TestSignature(t *testing.T) {
	secret := Secret(bytes.Repeat([]byte{7}, 32))
	one, err := secret.Key("orders", 1)
	if err != nil {
		t.Fatal(err)
	}
	two, err := secret.Key("orders", 2)
	if err != nil {
		t.Fatal(err)
	}
	other, err := secret.Key("bills", 1)
	if err != nil || one.Equal(two) || one.Equal(other) {
		t.Fatal("keys of different webhooks are equal", err)
	}
	at := time.Unix(1_700_000_000, 999)
	all := strings.Split(Sign("msg_1", at, []byte(`{"a":1}`), two, one), " ")
	for i, key := range []ed25519.PrivateKey{two, one} {
		raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(all[i], "v1a,"))
		if err != nil || !ed25519.Verify(key.Public().(ed25519.PublicKey), []byte(`msg_1.1700000000.{"a":1}`), raw) {
			t.Errorf("%s does not verify: %v", all[i], err)
		}
	}
	text, err := secret.Public("orders", 1)
	if err != nil || text != "whpk_"+base64.StdEncoding.EncodeToString(one.Public().(ed25519.PublicKey)) {
		t.Errorf("%s: %v", text, err)
	}
}

func TestKeysExpire(t *testing.T) {
	now := time.Unix(1000, 0)
	e := Entry{Keys: []Key{{Serial: 3}, {2, now.Add(time.Second)}, {1, now}}}
	if got := e.ValidKeys(now); len(got) != 2 || got[0].Serial != 3 || got[1].Serial != 2 || len(e.Keys) != 3 {
		t.Errorf("%+v", got)
	}
}
