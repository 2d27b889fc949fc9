package gateway

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/dagyo/dagyo/pkg/access"
	"github.com/dagyo/dagyo/services/gateway"
)

// A browser signs in with a code, once; codes are for the own user only.
func TestSignIn(t *testing.T) {
	a := do(t, "POST", all.own+"/v1/session/codes", "")
	a.is(t, 200, `"code":"`)
	redeem := func() answer {
		return do(t, "POST", all.own+"/v1/session", a.body, "Content-Type", "application/json", "Authorization", "none")
	}
	redeem().is(t, 200, `"token":"`+secret+`"`)
	redeem().is(t, 403, "the code was used before")
	do(t, "POST", all.own+"/v1/session", `{"code": ""}`, "Content-Type", "application/json").is(t, 403)
	do(t, "POST", all.own+"/v1/session/codes", "", "Authorization", "Bearer wrong").is(t, 401)
	viewer := "Bearer " + token(t, "default", "vera", access.Viewer)
	do(t, "POST", all.own+"/v1/session/codes", "", "Authorization", viewer).is(t, 400, "sign in with a credentials file")
	do(t, "GET", all.own+"/v1/session", "", "Authorization", viewer).is(t, 200, `"user":"vera"`, `"role":"viewer"`)
	do(t, "GET", all.own+"/v1/session", "").is(t, 200, `"own":true`)
	a = do(t, "POST", all.own+"/v1/session/codes", "")
	for range 16 {
		do(t, "POST", all.own+"/v1/session/codes", "").is(t, 200)
	}
	redeem().is(t, 403) // too many are newer
}

// The console is served to anybody: it has nothing of Dagyo's in it. Pages of the console have its address, too.
func TestConsole(t *testing.T) {
	for _, path := range []string{"/", "/flows", "/flows/some-flow", "/compose"} {
		a := do(t, "GET", all.others+path, "")
		a.is(t, 200, `<div id="app">`)
		if policy := a.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "script-src 'self'") || strings.Contains(policy, "http") {
			t.Errorf("%s has the policy %q", path, policy)
		}
		for script := range strings.SplitSeq(a.body, `src="`) {
			if name, _, _ := strings.Cut(script, `"`); strings.HasPrefix(name, "/assets/") {
				asset := do(t, "GET", all.others+name, "")
				if asset.is(t, 200); !strings.Contains(asset.Header.Get("Cache-Control"), "immutable") {
					t.Errorf("%s is not kept by browsers: %v", name, asset.Header)
				}
			}
		}
	}
	do(t, "GET", all.others+"/assets/nothing.js", "").is(t, 404)
	do(t, "GET", all.others+"/v1/nothing", "").is(t, 404)
	do(t, "GET", all.own+"/v1/executors", "").is(t, 200)
}

// A user with too many requests is told to wait, and nobody else has to.
func TestPace(t *testing.T) {
	s, err := gateway.Listen("127.0.0.1:0", nil, gateway.Config{Server: all.local.URL(), Rate: 1, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(0); err != nil {
			t.Error(err)
		}
	}()
	ask := func(token string) answer {
		return do(t, "GET", "http://"+s.Addr().String()+"/v1/session", "", "Authorization", "Bearer "+token)
	}
	fast, slow := token(t, "default", "fast", access.Viewer), token(t, "default", "slow", access.Viewer)
	last := ask(fast)
	for i := 0; i < 100 && last.StatusCode == 200; i++ { // allowed in 95 s
		last = ask(fast)
	}
	if last.is(t, 429, "requests a second"); last.Header.Get("Retry-After") == "" {
		t.Error("there is no Retry-After")
	}
	ask(slow).is(t, 200)
}

// What changes something is logged with its user, and without secrets.
func TestAudit(t *testing.T) {
	var log syncBuffer
	s, err := gateway.Listen("127.0.0.1:0", nil, gateway.Config{Server: all.local.URL(), Log: zerolog.New(&log)})
	if err != nil {
		t.Fatal(err)
	}
	at := "http://" + s.Addr().String()
	eve, vera := token(t, "default", "eve", access.User), token(t, "default", "vera", access.Viewer)
	id := fresh("audited")
	do(t, "POST", at+"/v1/flows?id="+id, greet, "Prefer", "wait", "Authorization", "Bearer "+eve).is(t, 202)
	do(t, "POST", at+"/v1/flows/"+id+"/cancel", "", "Authorization", "Bearer "+vera).is(t, 403)
	do(t, "POST", at+"/v1/flows/"+id+"/cancel", "", "Authorization", "Bearer "+eve).is(t, 202)
	do(t, "GET", at+"/v1/flows/"+id, "", "Authorization", "Bearer "+eve).is(t, 200)
	if err := s.Close(time.Second); err != nil {
		t.Fatal(err)
	}
	text := log.String()
	for _, want := range []string{
		`"user":"eve","role":"user","operation":"submit-flow","status":202`,
		`"user":"vera","role":"viewer","operation":"cancel-flow","status":403`,
		`"id":"` + id + `"`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the log lacks %s:\n%s", want, text)
		}
	}
	if strings.Contains(text, "get-flow") || strings.Contains(text, eve[:40]) || strings.Contains(text, "SEED") {
		t.Errorf("the log has what it should not:\n%s", text)
	}
}

// A syncBuffer may be written to by several goroutines.
type syncBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
