package signin

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/dagyo/dagyo/pkg/access"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/schemas"
)

func TestNames(t *testing.T) {
	for value, want := range map[string]string{
		"ada": "sso-ada", "ada-1": "sso-ada-1", "ada.lovelace": "sso-ada_lovelace", "ada.l@example.com": "sso-ada_l__example_com",
		"Ada": "sso-ada___", "ada_lovelace": "sso-ada-lovelace___", "a..b": "sso-a-b___", ".ada": "sso-ada___", "ada.": "sso-ada___", "auth0|5f7c8ec7": "sso-auth0-5f7c8ec7___",
		"Ærøskøbing": "sso-r-sk-bing___", "日本": "sso-___", "a@.b": "sso-a-b___",
	} {
		got := nameOf(value)
		if strings.HasSuffix(want, "___") {
			cut, hash, ok := strings.Cut(got, "___")
			if !ok || cut+"___" != want || len(hash) != hashedName {
				t.Errorf("%s: %s, want %s and a hash", value, got, want)
			}
		} else if got != want {
			t.Errorf("%s: %s, want %s", value, got, want)
		}
	}
}

// Every value has a valid name of its own.
func TestNamesTellPersonsApart(t *testing.T) {
	near := rapid.StringMatching(`[aA0._@-]{1,6}`)
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.OneOf(near, rapid.StringN(1, -1, 200), rapid.StringMatching(`[a-z.@-]{50,80}`))
		a, b := value.Draw(t, "a"), value.Draw(t, "b")
		x, y := nameOf(a), nameOf(b)
		if !document.ValidName(x) || !strings.HasPrefix(x, access.SignInPrefix) {
			t.Fatalf("%q has the name %q", a, x)
		}
		if a != b && x == y {
			t.Fatalf("%q and %q have the name %q", a, b, x)
		}
		// Nobody can have the name of somebody else as a value.
		if again := nameOf(strings.TrimPrefix(x, access.SignInPrefix)); again == x && strings.TrimPrefix(x, access.SignInPrefix) != a {
			t.Fatalf("%q and its name have the name %q", a, x)
		}
	})
}

func settings(t *testing.T, text string) *Settings {
	t.Helper()
	s, problems := Check([]byte(text))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return s
}

const base = `"issuer": "https://id.example.com", "client": "c", "url": "https://dagyo.example.com"`

func TestRules(t *testing.T) {
	s := settings(t, `{`+base+`, "name": "email", "rules": [
		{"claim": ["realm", "roles"], "value": "boss", "tenant": "acme", "role": "operator"},
		{"claim": "groups", "value": "staff", "role": "viewer"},
		{"claim": "email", "value": "ada@example.com", "role": "user"}]}`)
	mail := func(verified any, more ...any) map[string]any {
		claims := map[string]any{"email": "ada@example.com", "email_verified": verified}
		for i := 0; i < len(more); i += 2 {
			claims[more[i].(string)] = more[i+1]
		}
		return claims
	}
	for name, tt := range map[string]struct {
		claims map[string]any
		want   string // of the tenant and the role, or of the error
	}{
		"nested":         {mail(true, "realm", map[string]any{"roles": []any{1, "boss"}}, "groups", []any{"staff"}), "acme operator"},
		"list":           {mail("true", "groups", []any{"staffer", "staff"}), "default viewer"},
		"text":           {mail(true, "groups", "staff"), "default viewer"},
		"part of a text": {mail(true, "groups", "my staff"), "default user"},
		"other kinds":    {mail(true, "groups", map[string]any{"staff": true}, "realm", "boss"), "default user"},
		"unverified":     {mail(false, "groups", "staff"), "has not verified"},
		"no claims":      {nil, "the provider does not say your email"},
	} {
		p, err := s.Person(tt.claims)
		got := p.Tenant + " " + string(p.Role)
		var refused *RefusedError
		if errors.As(err, &refused) {
			got = refused.Why
		}
		if !strings.Contains(got, tt.want) {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
		if err == nil && p.Name != "sso-ada__example_com" {
			t.Errorf("%s: %s", name, p.Name)
		}
	}
	if _, err := s.Person(mail(true, "groups", "none", "email", "eve@example.com")); err == nil || !strings.Contains(err.Error(), "realm/roles, groups, email") {
		t.Errorf("nobody's error: %v", err)
	}
}

// What is fetched without encryption could be changed on the way: keys, for example, that sign ID tokens for anybody.
func TestAddressesOfTheProviderAreChecked(t *testing.T) {
	for _, endpoint := range []string{"authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint"} {
		server := httptest.NewServer(nil)
		defer server.Close()
		answer := map[string]string{"issuer": server.URL}
		for _, each := range []string{"authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint"} {
			answer[each] = server.URL + "/" + each
		}
		answer[endpoint] = "http://id.example.com/"
		server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			if err := json.NewEncoder(w).Encode(answer); err != nil {
				t.Error(err)
			}
		})
		_, err := NewProvider(&Settings{Issuer: server.URL, UserInfo: true}).Endpoint(t.Context())
		if !errors.Is(err, ErrAway) || !strings.Contains(err.Error(), `"http://id.example.com/" must begin with https://`) {
			t.Errorf("%s: %v", endpoint, err)
		}
	}
}

func TestSettings(t *testing.T) {
	s := settings(t, `{`+base+`, "name": "sub", "rules": [{"claim": "a", "value": "b", "role": "user"}]}`)
	if s.Session.D() != 8*time.Hour || s.Tokens.D() != access.MaxSignIn || s.Rules[0].Tenant != "default" || len(s.Scopes) != 2 || s.Title() != "id.example.com" ||
		s.Redirect() != "https://dagyo.example.com/sign-in" {
		t.Errorf("%+v", s)
	}
	text, err := schemas.Files.ReadFile("examples/sign-in.json")
	if err != nil {
		t.Fatal(err)
	}
	if s = settings(t, string(text)); s.Within("/etc").SecretFile != "/etc/client-secret" || s.Title() != "Acme" {
		t.Errorf("%+v", s)
	}
	const rules = `"name": "sub", "rules": [{"claim": "a", "value": "b", "role": "user"}, {"claim": ["a"], "value": "b", "role": "viewer"}]`
	_, problems := Check([]byte(`{"issuer": "http://id.example.com", "client": "c", "url": "https://dagyo.example.com/console", "session": "999h", "tokens": "2161h", ` + rules + `}`))
	var at []string
	for _, p := range problems {
		at = append(at, p.Pointer)
	}
	if got := strings.Join(at, " "); got != "/issuer /rules/1 /session /tokens /url" {
		t.Errorf("problems at %s: %v", got, problems)
	}
	for _, url := range []string{"dagyo", "https://", "ftp://a", "https://a#b", "https://me:pass@a", "http://10.0.0.1", "http://localhost.example.com"} {
		if badURL(url) == "" {
			t.Errorf("%s is a good URL", url)
		}
	}
	for _, url := range []string{"https://a:1/b", "http://localhost:1", "http://127.0.0.2", "http://[::1]:1"} {
		if why := badURL(url); why != "" {
			t.Errorf("%s %s", url, why)
		}
	}
	if _, problems := Check([]byte(`{"issuer": 1}`)); len(problems) < 4 {
		t.Errorf("%v", problems)
	}
}

// What a provider answers does not fill the log.
func TestLongAnswers(t *testing.T) {
	err := away(errors.New("500: " + strings.Repeat("é", 1<<20)))
	if !errors.Is(err, ErrAway) || len(err.Error()) > 2*longestReason || !utf8.ValidString(err.Error()) {
		t.Errorf("%d bytes: %.100s", len(err.Error()), err)
	}
}
