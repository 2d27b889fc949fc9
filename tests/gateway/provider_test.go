package gateway

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/rs/zerolog"

	"github.com/dagyo/dagyo/pkg/access"
	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/services/dagyo/keyring"
	"github.com/dagyo/dagyo/services/dagyo/landlord"
	"github.com/dagyo/dagyo/services/dagyo/provision"
	"github.com/dagyo/dagyo/services/gateway"
	"github.com/dagyo/dagyo/services/gateway/signin"
	"github.com/dagyo/dagyo/tests/provider"
)

// A signInTest is a gateway with which persons sign in at a provider.
type signInTest struct {
	*provider.Provider
	at   string
	keys string
	log  *syncBuffer
}

// dagyoURL is the address of the gateway for browsers. Nothing is there: the tests stop where a browser would go on.
const dagyoURL = "http://localhost:1"

var people = []provider.User{
	{Name: "vera", Groups: []string{"staff"}, Verified: true}, {Name: "ada.lovelace", Groups: []string{"other", "data-team"}, Verified: true},
	{Name: "Root", Groups: []string{"admins"}}, {Name: "mallory"},
}

// settingsOf returns settings; changes are members of the document that differ.
func settingsOf(t *testing.T, issuer string, changes map[string]any) *signin.Settings {
	t.Helper()
	secretFile := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secretFile, []byte(provider.Secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	doc := map[string]any{
		"issuer": issuer, "client": provider.Client, "secretFile": secretFile, "label": "Acme", "url": dagyoURL, "userinfo": true,
		"name": "preferred_username", "session": "1h", "tokens": "48h", "rules": []any{
			map[string]any{"claim": "groups", "value": "data-team", "role": "user"},
			map[string]any{"claim": "groups", "value": "admins", "role": "operator"},
			map[string]any{"claim": "groups", "value": "staff", "role": "viewer"},
		},
	}
	maps.Copy(doc, changes)
	maps.DeleteFunc(doc, func(_ string, value any) bool { return value == nil })
	text, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	s, problems := signin.Check(text)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return s
}

// keysOf calls do with the keys of the Dagyo of all tests, which runs.
func keysOf(t *testing.T, do func(*landlord.Landlord) error) {
	t.Helper()
	l, err := landlord.OpenAll(t.Context(), landlord.Place{Data: filepath.Join(all.dir, "data")})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := do(l); err != nil {
		t.Fatal(err)
	}
}

// writeKeys allows roles, and writes the keys for the gateway.
func (x *signInTest) writeKeys(t *testing.T, roles ...access.Role) {
	t.Helper()
	keysOf(t, func(l *landlord.Landlord) error {
		return errors.Join(l.Keys.AllowSignIn(keyring.DefaultTenant, roles...), l.Publish(t.Context(), keyring.DefaultTenant), provision.WriteSignIn(x.keys, l.Keys))
	})
}

// provided starts a provider, and a gateway that knows it and limits nothing.
func provided(t *testing.T, changes map[string]any) *signInTest { return limited(t, 1000, changes) }

// limited is provided with a limit on requests to sign in.
func limited(t *testing.T, rate int, changes map[string]any) *signInTest {
	t.Helper()
	p, err := provider.Start("127.0.0.1:0", []string{dagyoURL + "/sign-in"}, people...)
	if err != nil {
		t.Fatal(err)
	}
	x := &signInTest{Provider: p, keys: filepath.Join(t.TempDir(), "sign-in.json"), log: &syncBuffer{}}
	x.writeKeys(t, access.Viewer, access.User)
	s, err := gateway.Listen("127.0.0.1:0", nil, gateway.Config{
		Server: all.local.URL(), SignIn: &gateway.SignIn{Settings: settingsOf(t, p.URL, changes), Keys: signin.Keys(x.keys), Rate: rate}, Log: zerolog.New(x.log),
	})
	if err != nil {
		t.Fatal(err)
	}
	x.at = "http://" + s.Addr().String()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		if err := errors.Join(s.Close(0), p.Close()); err != nil {
			t.Error(err)
		}
	})
	return x
}

// A visit is one attempt to sign in: what a browser keeps, and what it came back with.
type visit struct {
	Code     string `json:"code"`
	Verifier string `json:"verifier"`
	Nonce    string `json:"nonce"`
	state    string
}

var requestID = regexp.MustCompile(`name="id" value="([^"]*)"`)

// begin returns the address at the provider with which a browser begins.
func (x *signInTest) begin(t *testing.T, v *visit) string {
	t.Helper()
	a := do(t, "GET", x.at+"/v1/session/oidc", "")
	a.is(t, 200, `"label":"Acme"`)
	var p gateway.Provider
	if err := json.Unmarshal([]byte(a.body), &p); err != nil {
		t.Fatal(err)
	}
	*v = visit{Verifier: rand.Text() + rand.Text(), Nonce: rand.Text(), state: rand.Text()}
	sum := sha256.Sum256([]byte(v.Verifier))
	return p.Endpoint + "?" + url.Values{
		"response_type": {"code"}, "client_id": {p.Client}, "redirect_uri": {p.Redirect}, "scope": {strings.Join(p.Scopes, " ")}, "state": {v.state},
		"nonce": {v.Nonce}, "code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}.Encode()
}

// visit signs in at the provider, by its form, up to where the browser comes back.
func (x *signInTest) visit(t *testing.T, user string) (v visit) {
	t.Helper()
	begin := x.begin(t, &v)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	back := errors.New("back")
	browser := &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), dagyoURL) {
			return back
		}
		return nil
	}}
	defer browser.CloseIdleConnections()
	page, err := browser.Get(begin)
	if err != nil {
		t.Fatal(err)
	}
	form, err := io.ReadAll(page.Body)
	_ = page.Body.Close()
	id := requestID.FindSubmatch(form)
	if err != nil || id == nil {
		t.Fatalf("the provider has no form: %s, %v", form, err)
	}
	res, err := browser.PostForm(x.URL+"/login/username", url.Values{"id": {string(id[1])}, "username": {user}, "password": {provider.Password}})
	if !errors.Is(err, back) {
		t.Fatalf("the provider does not send %s back: %v, %v", user, res, err)
	}
	_ = res.Body.Close()
	to, err := url.Parse(res.Header.Get("Location"))
	if err != nil || to.Path != "/sign-in" || to.Query().Get("state") != v.state {
		t.Fatalf("the provider sends %s to %v: %v", user, to, err)
	}
	v.Code = to.Query().Get("code")
	return v
}

// redeem sends what a browser came back with to the gateway.
func (x *signInTest) redeem(t *testing.T, v visit) answer {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return do(t, "POST", x.at+"/v1/session/oidc", string(text), "Content-Type", "application/json")
}

// signIn returns the header of somebody who has signed in.
func (x *signInTest) signIn(t *testing.T, user string) string {
	t.Helper()
	a := x.redeem(t, x.visit(t, user))
	a.is(t, 200, `"token":"`)
	return "Bearer " + a.token(t)
}

func (a answer) token(t *testing.T) string {
	t.Helper()
	var body struct{ Token string }
	if err := json.Unmarshal([]byte(a.body), &body); err != nil || body.Token == "" {
		t.Fatalf("%q has no token: %v", a.body, err)
	}
	return body.Token
}

func TestPersonsSignIn(t *testing.T) {
	x := provided(t, nil)
	vera, ada := x.signIn(t, "vera"), x.signIn(t, "ada.lovelace")
	do(t, "GET", x.at+"/v1/session", "", "Authorization", vera).is(t, 200, `"user":"sso-vera"`, `"role":"viewer"`, `"signedIn":true`, `"expires":"`)
	do(t, "GET", x.at+"/v1/session", "", "Authorization", ada).is(t, 200, `"user":"sso-ada_lovelace"`, `"role":"user"`)
	id := fresh("signed")
	do(t, "POST", x.at+"/v1/flows?id="+id, greet, "Prefer", "wait", "Authorization", vera).is(t, 403)
	do(t, "POST", x.at+"/v1/flows?id="+id, greet, "Prefer", "wait", "Authorization", ada).is(t, 202)
	do(t, "GET", x.at+"/v1/flows/"+id, "", "Authorization", ada).is(t, 200) // answered once the flow is known; others are not waited for
	do(t, "GET", x.at+"/v1/flows/"+id, "", "Authorization", vera).is(t, 200, `"owner":"sso-ada_lovelace"`)
	do(t, "POST", x.at+"/v1/flows/"+id+"/cancel", "", "Authorization", vera).is(t, 403)
	// Of the same person, another gateway says the same: there is nothing that replicas share.
	do(t, "POST", all.others+"/v1/flows/"+id+"/cancel", "", "Authorization", ada).is(t, 202)
	do(t, "PUT", x.at+"/v1/progdefs/theirs", `{"name": "theirs", "command": ["true"]}`, "Authorization", ada).is(t, 403)
	text := x.log.String()
	for _, want := range []string{`"user":"sso-ada_lovelace","tenant":"default","role":"user","message":"signed in"`} {
		if !strings.Contains(text, want) {
			t.Errorf("the log lacks %s:\n%s", want, text)
		}
	}
	if strings.Contains(text, ada[20:60]) || strings.Contains(text, "SEED") || strings.Contains(text, provider.Secret) {
		t.Errorf("the log has what it should not:\n%s", text)
	}
	holder := read(t, ada)
	if left := time.Until(holder.Expires); left > time.Hour || left < 50*time.Minute {
		t.Errorf("the session lasts for %v", left)
	}
	do(t, "GET", all.others+"/v1/session/oidc", "").is(t, 204)
	do(t, "POST", all.others+"/v1/session/oidc", `{"code": "x", "verifier": "`+strings.Repeat("v", 43)+`", "nonce": "`+strings.Repeat("n", 16)+`"}`,
		"Content-Type", "application/json").is(t, 404, "credentials file")
}

func read(t *testing.T, header string) access.Holder {
	t.Helper()
	file, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(header, "Bearer "))
	if err != nil {
		t.Fatal(err)
	}
	h, ok, err := access.Read(file)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	return h
}

// A public client has no secret.
func TestPublicClient(t *testing.T) {
	x := provided(t, map[string]any{"client": provider.Public, "secretFile": nil})
	x.redeem(t, x.visit(t, "vera")).is(t, 200)
	x = provided(t, map[string]any{"secretFile": nil})
	v := x.visit(t, "vera")
	if x.redeem(t, v).is(t, 503, "does not answer"); !strings.Contains(x.log.String(), "does not accept this gateway") {
		t.Errorf("the log is\n%s", x.log)
	}
	x = provided(t, map[string]any{"secretFile": filepath.Join(t.TempDir(), "nothing")})
	x.redeem(t, x.visit(t, "vera")).is(t, 503, "its log says why")
}

// Whatever is wrong with what the provider says, nobody gets in.
func TestSignInIsRefused(t *testing.T) {
	x := provided(t, nil)
	x.redeem(t, x.visit(t, "mallory")).is(t, 403, "you are sso-mallory, and no rule gives you a role", "groups")
	x.redeem(t, x.visit(t, "Root")).is(t, 403, "role operator in tenant default", "dagyo keys sign-in")

	v := x.visit(t, "vera")
	x.redeem(t, v).is(t, 200)
	x.redeem(t, v).is(t, 403, "used before")
	v, other := x.visit(t, "vera"), x.visit(t, "ada.lovelace")
	other.Code = v.Code // of another browser
	x.redeem(t, other).is(t, 403, "another browser")
	v = x.visit(t, "vera")
	v.Nonce = rand.Text()
	x.redeem(t, v).is(t, 403, "nonce")
	v.Nonce = ""
	x.redeem(t, v).is(t, 422)
	v = visit{Code: "made-up", Verifier: strings.Repeat("v", 43), Nonce: rand.Text()}
	x.redeem(t, v).is(t, 403, "used before")
	do(t, "POST", x.at+"/v1/session/oidc", `{"code": "x", "redirect": "https://evil.example/", "verifier": "`+v.Verifier+`", "nonce": "`+v.Nonce+`"}`,
		"Content-Type", "application/json").is(t, 422, "redirect")
	do(t, "POST", x.at+"/v1/session/oidc", "{}", "Content-Type", "application/json", "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site").is(t, 403)
	foreign := strings.Replace(x.begin(t, &v), url.QueryEscape(dagyoURL), url.QueryEscape("https://evil.example"), 1)
	do(t, "GET", foreign, "").is(t, 400, "redirect_uri")

	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	with := func(name string, value any) func(map[string]any) string {
		return func(claims map[string]any) string {
			claims[name] = value
			return x.Sign(claims)
		}
	}
	for name, attack := range map[string]struct {
		token func(map[string]any) string
		want  string
	}{
		"issuer":    {with("iss", "https://evil.example"), "issued by a different provider"},
		"audience":  {with("aud", []string{"another"}), "audience"},
		"party":     {with("azp", "another"), "azp"},
		"expired":   {with("exp", time.Now().Add(-2*time.Minute).Unix()), "clocks"},
		"future":    {with("nbf", time.Now().Add(time.Hour).Unix()), "not before"},
		"no expiry": {with("exp", nil), "not valid"},
		"no nonce":  {with("nonce", nil), "nonce"},
		"nobody":    {with("sub", ""), "names nobody"},
		"somebody":  {with("sub", "id-ada.lovelace"), "about somebody else"},
		"key":       {func(c map[string]any) string { return provider.SignWith(stranger, jose.RS256, c) }, "not valid"},
		"HMAC": {func(c map[string]any) string {
			return provider.SignWith([]byte(provider.Secret+provider.Secret), jose.HS256, c)
		}, "not valid"},
		"alg none": {unsigned, "not valid"},
		"nothing":  {func(map[string]any) string { return "" }, "no ID token"},
		"garbage":  {func(map[string]any) string { return "a.b.c" }, "not valid"},
	} {
		v := x.visit(t, "vera")
		x.Tamper(attack.token)
		a := x.redeem(t, v)
		x.Tamper(nil)
		if a.StatusCode != 403 || !strings.Contains(a.body, attack.want) || strings.Contains(a.body, "token\":") {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.body)
		}
	}
	// The same claims with the provider's own second key are fine: the checks above refused what they should.
	v = x.visit(t, "vera")
	x.Tamper(x.Sign)
	x.redeem(t, v).is(t, 200)
}

// unsigned returns a token with the algorithm none.
func unsigned(claims map[string]any) string {
	text, err := json.Marshal(claims)
	if err != nil {
		panic(err) // they were JSON before
	}
	return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString(text) + "."
}

// An address without a provider that has verified it is nobody's.
func TestUnverifiedAddress(t *testing.T) {
	x := provided(t, map[string]any{"name": "email", "rules": []any{map[string]any{"claim": "email", "value": "Root@example.com", "role": "user"}}})
	x.redeem(t, x.visit(t, "Root")).is(t, 403, "has not verified your e-mail address")
	x.redeem(t, x.visit(t, "vera")).is(t, 403, "you are sso-vera__example_com")
}

// A personal token has the rights of its person, works without the gateway, and makes no others.
func TestPersonalTokens(t *testing.T) {
	x := provided(t, nil)
	ask := func(header, body string) answer {
		return do(t, "POST", x.at+"/v1/session/tokens", body, "Content-Type", "application/json", "Authorization", header)
	}
	ada := x.signIn(t, "ada.lovelace")
	a := ask(ada, `{"name": "ci", "days": 2}`)
	a.is(t, 201, `"name":"ci"`, `"expires":"`)
	ci := "Bearer " + a.token(t)
	do(t, "GET", x.at+"/v1/session", "", "Authorization", ci).is(t, 200, `"user":"sso-ada_lovelace"`, `"role":"user"`, `"token":"ci"`)
	ask(ci, `{"name": "more", "days": 1}`).is(t, 403, "sign in again")
	ask(ada, `{"name": "ci", "days": 3}`).is(t, 400, "48h0m0s at most")
	ask(ada, `{"name": "ci", "days": 91}`).is(t, 422)
	ask(ada, `{"name": "C I", "days": 1}`).is(t, 422)
	ask("Bearer "+token(t, "default", "bob", access.Operator), `{"name": "ci", "days": 1}`).is(t, 403, "have not signed in with a provider")
	// Somebody with keys of their own, under a name of somebody else.
	ask("Bearer "+token(t, "default", "sso-ada_lovelace", access.User), `{"name": "ci", "days": 1}`).is(t, 403)

	file, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(ci, "Bearer "))
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.Connect(t.Context(), client.Options{URL: all.local.URL(), Access: all.local.Access(), Credentials: file, Source: "/test/ci"})
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if text := x.log.String(); !strings.Contains(text, `"user":"sso-ada_lovelace","role":"user","token":"ci","expires":"`) || strings.Contains(text, ci[20:60]) {
		t.Errorf("the log is\n%s", text)
	}

	x = provided(t, map[string]any{"tokens": "0s"})
	ada = x.signIn(t, "ada.lovelace")
	ask(ada, `{"name": "ci", "days": 1}`).is(t, 403, "no personal tokens")
}

// Who is revoked loses the session and all tokens at once, and nobody else does. Replaced keys take those of all with them.
func TestSignedInPersonsAreRevoked(t *testing.T) {
	x := provided(t, nil)
	vera, ada := x.signIn(t, "vera"), x.signIn(t, "ada.lovelace")
	status := func(header string) int {
		return do(t, "GET", x.at+"/v1/executors", "", "Authorization", header).StatusCode
	}
	a := do(t, "POST", x.at+"/v1/session/tokens", `{"name": "ci", "days": 1}`, "Content-Type", "application/json", "Authorization", vera)
	a.is(t, 201)
	ci := "Bearer " + a.token(t)
	if status(vera) != 200 || status(ci) != 200 || status(ada) != 200 {
		t.Fatal("somebody cannot use a session")
	}
	keysOf(t, func(l *landlord.Landlord) error {
		_, err := l.Keys.Revoke(keyring.DefaultTenant, "sso-vera")
		return errors.Join(err, l.Publish(t.Context(), keyring.DefaultTenant))
	})
	until(t, "vera is shut out", func() bool { return status(vera) == 401 && status(ci) == 401 })
	// Requests that were under way when the account changed may have failed.
	until(t, "nobody else is revoked", func() bool { return status(ada) == 200 })
	keysOf(t, func(l *landlord.Landlord) error {
		return errors.Join(l.Keys.Rotate(keyring.SignIn), l.Publish(t.Context()), provision.WriteSignIn(x.keys, l.Keys))
	})
	until(t, "a rotation ends no sessions", func() bool { return status(ada) == 200 })
	do(t, "POST", x.at+"/v1/session/tokens", `{"name": "ci", "days": 1}`, "Content-Type", "application/json", "Authorization", ada).is(t, 403, "the keys were replaced")
	again := x.signIn(t, "ada.lovelace")
	keysOf(t, func(l *landlord.Landlord) error {
		_, err := l.Keys.Retire(keyring.SignIn)
		return errors.Join(err, l.Publish(t.Context()))
	})
	until(t, "old sessions end", func() bool { return status(ada) == 401 })
	until(t, "the new keys are valid", func() bool { return status(again) == 200 })
	x.writeKeys(t, access.Viewer) // without the role user
	until(t, "sessions of a withdrawn role end", func() bool { return status(again) == 401 })
	x.redeem(t, x.visit(t, "ada.lovelace")).is(t, 403, "role user in tenant default")
}

func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what + ": not after " + patience.String())
		}
	}
}

// While the provider is away, nobody signs in, sessions go on, and what it answers is in the log only.
func TestProviderIsAway(t *testing.T) {
	x := provided(t, nil)
	x.Away(true)
	do(t, "GET", x.at+"/v1/session/oidc", "").is(t, 503, "the provider of sign-in does not answer")
	x.Away(false)
	until(t, "the provider is back", func() bool { return do(t, "GET", x.at+"/v1/session/oidc", "").StatusCode == 200 })
	vera, v := x.signIn(t, "vera"), x.visit(t, "vera")
	x.Away(true)
	a := x.redeem(t, v)
	if a.is(t, 503, "does not answer"); strings.Contains(a.body, "502") || !strings.Contains(x.log.String(), "502") {
		t.Errorf("answered %s, logged\n%s", a.body, x.log)
	}
	do(t, "GET", x.at+"/v1/session", "", "Authorization", vera).is(t, 200)
	do(t, "GET", x.at+"/readyz", "").is(t, 200)
}

// Requests without credentials are limited.
func TestSignInIsLimited(t *testing.T) {
	x := limited(t, 1, nil)
	body := fmt.Sprintf(`{"code": "x", "verifier": "%s", "nonce": "%s"}`, strings.Repeat("v", 43), strings.Repeat("n", 16))
	var last answer
	until(t, "the limit is reached", func() bool {
		last = do(t, "POST", x.at+"/v1/session/oidc", body, "Content-Type", "application/json")
		return last.StatusCode == 429
	})
	if last.Header.Get("Retry-After") == "" {
		t.Error("there is no Retry-After")
	}
}
