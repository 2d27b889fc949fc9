package gateway

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/dagyo/dagyo/pkg/access"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/services/dagyo/embedded"
	"github.com/dagyo/dagyo/services/dagyo/keyring"
	"github.com/dagyo/dagyo/services/dagyo/local"
	"github.com/dagyo/dagyo/services/dagyo/settings"
	"github.com/dagyo/dagyo/services/gateway"
)

// patience is how long a test waits for something that must happen. No test measures it.
const patience = time.Minute

// all is the Dagyo of all tests: its folder, the gateway of its own user, and that of everybody else.
var all struct {
	dir, own, others string
	local            *local.Local
}

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	if all.dir, err = os.MkdirTemp("", "dagyo-gateway-"); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(all.dir)) }()
	// Executors are processes of the command, and may run as other users.
	bin := filepath.Join(all.dir, "bin")
	if err := errors.Join(os.Chmod(all.dir, 0o755), os.Mkdir(bin, 0o755)); err != nil {
		return 1, err
	}
	command := exec.Command("go", "build", "-o", filepath.Join(bin, "dagyo"), "github.com/dagyo/dagyo/services/dagyo")
	if out, err := command.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("%w\n%s", err, out)
	}
	if err := os.Setenv("PATH", bin+":"+os.Getenv("PATH")); err != nil {
		return 1, err
	}
	ctx := context.Background()
	services := settings.Default()
	services.Aggregator.LocalWebhooks = settings.Loopback()
	if err := services.Resolve(zerolog.Nop()); err != nil {
		return 1, err
	}
	c := local.Config{
		Dir: filepath.Join(all.dir, "data"), Port: embedded.RandomPort, Services: services, Source: "/test/ada", Log: zerolog.Nop(),
	}
	c.Process.Self = filepath.Join(bin, "dagyo")
	if all.local, err = local.Start(ctx, c); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, all.local.Stop(ctx, local.Stop{})) }()
	own := all.local.Access()
	for _, g := range []struct {
		url *string
		own string
	}{{&all.own, own.Creds}, {&all.others, ""}} {
		s, err := gateway.Listen("127.0.0.1:0", nil, gateway.Config{Server: all.local.URL(), Own: g.own, Token: secret, Log: zerolog.Nop()})
		if err != nil {
			return 1, err
		}
		*g.url = "http://" + s.Addr().String()
		defer func() { err = errors.Join(err, s.Close(0)) }()
	}
	code = m.Run()
	http.DefaultClient.CloseIdleConnections()
	return code, err
}

// token returns the bearer token of a user.
func token(t *testing.T, tenant, name string, r access.Role) string {
	t.Helper()
	keys, err := keyring.Open(keyring.In(filepath.Join(all.dir, "data")))
	if err != nil {
		t.Fatal(err)
	}
	creds, err := keys.Issue(tenant, access.Credential{Role: r, Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(creds)
}

// secret is the token of the own user.
const secret = "the-own-token"

// authorize adds the token of the own user to requests for a gateway of theirs without another one.
func authorize(r *http.Request) *http.Request {
	if r.Header.Get("Authorization") == "" && !strings.HasPrefix(r.URL.String(), all.others) {
		r.Header.Set("Authorization", "Bearer "+secret)
	}
	return r
}

// An answer is that of a request.
type answer struct {
	*http.Response
	body string
}

func do(t *testing.T, method, url, body string, headers ...string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
		r.Header.Add(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(authorize(r))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	return answer{res, string(b)}
}

func (a answer) is(t *testing.T, status int, parts ...string) {
	t.Helper()
	if a.StatusCode != status {
		t.Errorf("%s %s: status %d, want %d: %s", a.Request.Method, a.Request.URL.Path, a.StatusCode, status, a.body)
	}
	for _, part := range parts {
		if !strings.Contains(a.body, part) {
			t.Errorf("%s %s: %q lacks %q", a.Request.Method, a.Request.URL.Path, a.body, part)
		}
	}
}

// fresh returns an id that no run of the tests has used.
func fresh(name string) string { return name + "-" + strings.ToLower(rand.Text()[:8]) }

// form returns a form of names and contents, the document first.
func form(parts ...string) (body, contentType string) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for i := 0; i < len(parts); i += 2 {
		p, _ := w.CreateFormFile(parts[i], parts[i]) // a buffer takes all
		_, _ = io.WriteString(p, parts[i+1])
	}
	_ = w.Close()
	return b.String(), w.FormDataContentType()
}

func post(t *testing.T, query string, parts ...string) answer {
	t.Helper()
	body, contentType := form(parts...)
	return do(t, "POST", all.own+"/v1/run"+query, body, "Content-Type", contentType)
}

const (
	greet = `{"nodes": {"g": {"progdef": "greet"}}, "inputs": {"names": "g.name"}, "outputs": {"greetings": "g.greeting"}}`
	pairs = `{"nodes": {"z": {"progdef": "zip", "types": {"T": "utf8-string"}}, "t": {"progdef": "tee"}}, "inputs": {"a": "z.a", "b": "t.in"},
		"edges": [{"from": "t.a", "to": "z.b"}], "outputs": {"pairs": "z.pair", "copy": "t.b"}}`
	names = `{"nodes": {"s": {"progdef": "source"}, "v": {"progdef": "void_sink"}}, "edges": [{"from": "s.name", "to": "v.in"}]}`
)

func TestRunInOneCall(t *testing.T) {
	a := post(t, "", "flow", greet, "names", "Ada\nBob\n")
	a.is(t, 200)
	if a.body != "hello Ada\nhello Bob\n" || a.Trailer.Get("Dagyo-Verdict") != "flow.completed" || a.Header.Get("Dagyo-Flow") == "" {
		t.Errorf("%q, %v, %v", a.body, a.Trailer, a.Header)
	}
	a = post(t, "?format=jsonl", "flow", greet, "names", "\"A\\nB\"\n")
	a.is(t, 200)
	if a.body != "\"hello A\\nB\"\n" || a.Header.Get("Content-Type") != "application/jsonl" {
		t.Errorf("%q, %v", a.body, a.Header)
	}
	// Two inputs that the flow needs at the same time, each of more than a window.
	large := strings.Repeat(strings.Repeat("x", 1000)+"\n", 20_000)
	a = post(t, "", "flow", pairs, "b", large, "a", large)
	a.is(t, 200, `{"output":"copy","record":"xxx`, `{"output":"pairs","record":`)
	if n := strings.Count(a.body, "\n"); n != 40_000 {
		t.Errorf("%d records", n)
	}
}

// What is wrong is answered, and the flow is not left behind.
func TestWrongCalls(t *testing.T) {
	post(t, "", "flow", `{"nodes": {"a": {"progdef": "gret"}}}`).is(t, 422, `"pointer":"/nodes/a/progdef"`, `did you mean \"greet\"?`)
	post(t, "", "names", "Ada\n").is(t, 400, "the first part of the form must be the document")
	post(t, "", "flow", greet).is(t, 400, "the form lacks the inputs [names]")
	post(t, "", "flow", greet, "name", "Ada\n").is(t, 400, `a part \"name\", which is no input`)
	post(t, "", "flow", pairs, "a", "Ada\n", "a", "Bob\n", "b", "Eve\n").is(t, 400, "or was there before")
	post(t, "?format=base64", "flow", greet, "names", "***\n").is(t, 400, "not base64")
	post(t, "?format=xml", "flow", greet, "names", "Ada\n").is(t, 422, "lines, jsonl, base64, file")
	post(t, "", "flow", "{").is(t, 400, "not JSON")
	do(t, "POST", all.own+"/v1/run", greet).is(t, 400, "the body is not a form")
	for path, status := range map[string]int{
		"GET /v1/flows/nobody": 404, "GET /v1/flows/nobody/events": 404, "GET /v1/flows/nobody/outputs/o": 404,
		"PUT /v1/flows/nobody/inputs/i": 404, "POST /v1/flows/nobody/cancel": 404, "GET /v1/progdefs/nobody": 404, "GET /v1/types/nobody": 404,
		"POST /v1/flows?id=No%20Name": 400, "GET /v1/nowhere": 404, "DELETE /v1/flows": 405, "GET /v1/flows?limit=-1": 422,
	} {
		method, path, _ := strings.Cut(path, " ")
		do(t, method, all.own+path, greet).is(t, status)
	}
	var left contract.FlowPage
	if err := json.Unmarshal([]byte(do(t, "GET", all.own+"/v1/flows?live=true", "").body), &left); err != nil {
		t.Fatal(err)
	}
	for _, f := range left.Flows {
		ends(t, f.Flow, contract.TypeFlowCancelled)
	}
}

// ends waits for the verdict of a flow.
func ends(t *testing.T, flow string, verdict contract.Type) {
	t.Helper()
	do(t, "GET", all.own+"/v1/flows/"+flow+"/events", "").is(t, 200, "event: "+string(verdict)+"\n")
}

// A failure before the first record is an answer; one behind it ends the connection in the middle of the answer.
func TestFailures(t *testing.T) {
	const fails = `{"nodes": {"a": {"progdef": "assert"}}, "inputs": {"in": "a.in"}, "outputs": {"out": "a.out"}}`
	const mixed = `{"error": "broken"}`
	a := post(t, "?format=jsonl", "flow", fails, "in", `"`+mixed+"\"\n")
	if a.StatusCode == 200 {
		t.Errorf("a flow that fails is answered with %q", a.body)
	}
	bodyText, contentType := form("flow", greet, "names", "Ada\n"+strings.Repeat("x", 100))
	cut := strings.NewReader(bodyText[:len(bodyText)-150]) // the client's form ends in the middle
	r, err := http.NewRequestWithContext(t.Context(), "POST", all.own+"/v1/run", cut)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", contentType)
	res, err := http.DefaultClient.Do(authorize(r))
	if err == nil {
		_, err = io.ReadAll(res.Body)
		_ = res.Body.Close()
		if res.StatusCode != 200 {
			err = errors.New(res.Status)
		}
	}
	if err == nil {
		t.Error("half a form is a whole answer")
	}
}

// The answer ends with the flow, also if the client could go on sending.
func TestFlowEndsFirst(t *testing.T) {
	const first = `{"nodes": {"h": {"progdef": "head", "with": {"n": ["1"]}, "types": {"T": "utf8-string"}}}, "inputs": {"in": "h.in"}, "outputs": {"out": "h.out"}}`
	in, feed := io.Pipe()
	defer feed.Close()
	w := multipart.NewWriter(feed)
	r, err := http.NewRequestWithContext(t.Context(), "POST", all.own+"/v1/run", in)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", w.FormDataContentType())
	go func() {
		p, err := w.CreateFormField("flow")
		if err == nil {
			_, err = io.WriteString(p, first)
		}
		if err == nil {
			p, err = w.CreateFormField("in")
		}
		if err == nil {
			_, err = io.WriteString(p, "one\ntwo\nthree\n")
		}
		_ = err // the answer says what is wrong
	}()
	res, err := http.DefaultClient.Do(authorize(r))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err != nil || string(body) != "one\n" || res.Trailer.Get("Dagyo-Verdict") != "flow.completed" {
		t.Errorf("%q, %v, %v", body, err, res.Trailer)
	}
}

// Of several requests that feed an input at the same time one has it, and the flow gets its records only.
func TestOneRequestHasAnInput(t *testing.T) {
	for range 5 {
		id := fresh("fed")
		do(t, "POST", all.own+"/v1/flows?id="+id, greet, "Prefer", "wait").is(t, 202)
		const clients = 6
		var statuses [clients]int
		var feeding errgroup.Group
		for i := range statuses {
			feeding.Go(func() error {
				r, err := http.NewRequestWithContext(t.Context(), "PUT", all.own+"/v1/flows/"+id+"/inputs/names", strings.NewReader(fmt.Sprint("client ", i)))
				if err != nil {
					return err
				}
				res, err := http.DefaultClient.Do(authorize(r))
				if err != nil {
					return err
				}
				statuses[i] = res.StatusCode
				return res.Body.Close()
			})
		}
		a := do(t, "GET", all.own+"/v1/flows/"+id+"/outputs/greetings", "")
		if err := feeding.Wait(); err != nil {
			t.Fatal(err)
		}
		one := slices.Index(statuses[:], http.StatusOK)
		if a.body != fmt.Sprintf("hello client %d\n", one) || a.Trailer.Get("Dagyo-Verdict") != "flow.completed" {
			t.Errorf("%v: %q, %v", statuses, a.body, a.Trailer)
		}
		for i, status := range statuses {
			if i != one && status != http.StatusConflict {
				t.Errorf("%v", statuses)
			}
		}
	}
}

func TestStepByStep(t *testing.T) {
	id := fresh("steps")
	do(t, "POST", all.own+"/v1/flows?id="+id+"", greet, "Prefer", "respond-async, wait=10").is(t, 202, `"state":"validated"`, `"inputs":["names"]`, `"outputs":["greetings"]`)
	do(t, "POST", all.own+"/v1/flows?id="+id+"", names, "Prefer", "wait").is(t, 409, "the id is in use")
	do(t, "PUT", all.own+"/v1/flows/"+id+"/inputs/nothing", "x").is(t, 404, `has no input \"nothing\": it has [names]`)
	do(t, "PUT", all.own+"/v1/flows/"+id+"/inputs/names", "Ada\nBob").is(t, 200, `{"records":2,"bytes":6}`)
	a := do(t, "GET", all.own+"/v1/flows/"+id+"/outputs/greetings", "")
	if a.is(t, 200); a.body != "hello Ada\nhello Bob\n" || a.Trailer.Get("Dagyo-Verdict") != "flow.completed" {
		t.Errorf("%q, %v", a.body, a.Trailer)
	}
	ends(t, id, contract.TypeFlowCompleted)
	do(t, "GET", all.own+"/v1/flows/"+id, "").is(t, 200, `"verdict":"flow.completed"`, `"owner":"ada"`)
	do(t, "GET", all.own+"/v1/flows?state=completed&search="+id, "").is(t, 200, `"flow":"`+id+`"`)
	do(t, "GET", all.own+"/v1/flows?progdef=nothing", "").is(t, 200, `{"flows":[]}`)
	do(t, "GET", all.own+"/v1/flows?user=ada&search="+id, "").is(t, 200, `"flow":"`+id+`"`, `"owner":"ada"`)
	do(t, "GET", all.own+"/v1/flows?user=eve&search="+id, "").is(t, 200, `{"flows":[]}`)
	do(t, "GET", all.own+"/v1/flows?user=No%20Name", "").is(t, 400, "is not a name")
	do(t, "POST", all.own+"/v1/validate", greet).is(t, 200, `"valid":true`, `"type":"utf8-string"`)
	do(t, "POST", all.own+"/v1/validate", `{"nodes": {"a": {"progdef": "nothing"}}}`).is(t, 200, `"valid":false`, `"problems":[`)
	do(t, "POST", all.own+"/v1/compatible", `{"flow": {"nodes": {"t": {"progdef": "tee"}}}, "node": "t", "port": "in"}`).is(t, 200, `"ports":[`)
	do(t, "GET", all.own+"/v1/progdefs/greet", "").is(t, 200, `"name":"greet"`)
	do(t, "GET", all.own+"/v1/progdefs/greet/executors", "").is(t, 200, `"revision"`)
	do(t, "GET", all.own+"/v1/types/json", "").is(t, 200, `"json"`)
	do(t, "PUT", all.own+"/v1/progdefs/mine", `{"name": "mine", "command": ["true"]}`).is(t, 200, `"revision"`)
	do(t, "PUT", all.own+"/v1/progdefs/mine", `{"name": "mine", "comand": ["true"]}`).is(t, 422, `"pointer":"/comand"`)
	do(t, "PUT", all.own+"/v1/progdefs/mine", `{"name": "other", "command": ["true"]}`).is(t, 400, "the document is not named mine")
	do(t, "DELETE", all.own+"/v1/progdefs/mine", "").is(t, 204)
	do(t, "GET", all.own+"/healthz", "").is(t, 200)
	do(t, "GET", all.own+"/readyz", "").is(t, 200)
	do(t, "GET", all.others+"/readyz", "").is(t, 200)
	do(t, "GET", all.own+"/openapi.json", "").is(t, 200, `"/v1/flows/{id}/inputs/{name}"`, `"openapi":"3.1.0"`)
}

// What users hold is told while their flows run.
func TestUsage(t *testing.T) {
	id := fresh("usage")
	do(t, "POST", all.own+"/v1/flows?id="+id, greet, "Prefer", "wait").is(t, 202)
	a := do(t, "GET", all.own+"/v1/usage", "")
	for deadline := time.Now().Add(30 * time.Second); !strings.Contains(a.body, `{"user":"ada","flows":`); a = do(t, "GET", all.own+"/v1/usage", "") {
		if time.Now().After(deadline) {
			t.Fatalf("the flow of ada is not told: %s", a.body)
		}
	}
	a.is(t, 200, `"executorLimit":`, `"tenant":{"flows":`, `"tenantLimits":{`, `"userLimits":{`)
	do(t, "GET", all.others+"/v1/usage", "").is(t, 401)
	do(t, "POST", all.own+"/v1/flows/"+id+"/cancel", "").is(t, 202)
	ends(t, id, contract.TypeFlowCancelled)
}

// Events are delivered from the first one, and behind the last one that was received.
func TestEvents(t *testing.T) {
	id := fresh("events")
	do(t, "POST", all.own+"/v1/flows?id="+id, names, "Prefer", "wait").is(t, 202)
	a := do(t, "GET", all.own+"/v1/flows/"+id+"/events?until=cleaned", "")
	a.is(t, 200, "event: flow.validated\n", "event: flow.completed\n", "event: flow.cleaned\n")
	var last string
	for line := range strings.Lines(a.body) {
		if seq, ok := strings.CutPrefix(line, "id: "); ok {
			last = strings.TrimSpace(seq)
		}
		if strings.HasPrefix(line, "event: flow.completed") {
			break
		}
	}
	a = do(t, "GET", all.own+"/v1/flows/"+id+"/events?until=cleaned", "", "Last-Event-ID", last)
	if a.is(t, 200, "event: flow.cleaned\n"); strings.Contains(a.body, "flow.completed") {
		t.Errorf("an event was delivered again: %s", a.body)
	}
	do(t, "GET", all.own+"/v1/flows/"+id+"/events", "", "Last-Event-ID", "999999").is(t, 204)
	do(t, "GET", all.own+"/v1/flows/"+id+"/events", "").is(t, 200, "event: flow.completed\n")
	do(t, "GET", all.own+"/v1/flows/"+id+"/events", "", "Last-Event-ID", "x").is(t, 400, "Last-Event-ID")
}

func TestCloudEvents(t *testing.T) {
	const data = `{"nodes": {"s": {"progdef": "source"}, "v": {"progdef": "void_sink"}}, "edges": [{"from": "s.name", "to": "v.in"}]}`
	event := func(id, kind string) string {
		return fmt.Sprintf(`{"specversion": "1.0", "id": %q, "type": %q, "source": "/me", "data": %s}`, id, kind, data)
	}
	url := all.own + "/v1/events"
	structured, binary, one, two := fresh("structured"), fresh("binary"), fresh("one"), fresh("two")
	do(t, "POST", url, event(structured, "flow.submit"), "Content-Type", "application/cloudevents+json").is(t, 202, structured)
	do(t, "POST", url, data, "Content-Type", "application/json", "ce-specversion", "1.0", "ce-id", binary+"-1", "ce-subject", binary,
		"ce-type", "flow.submit", "ce-source", "/me").is(t, 202, binary)
	do(t, "POST", url, "["+event(one, "flow.submit")+","+event(two, "flow.submit")+"]", "Content-Type", "application/cloudevents-batch+json").
		is(t, 202, one, two)
	for _, id := range []string{structured, binary, one, two} {
		do(t, "GET", all.own+"/v1/flows/"+id+"/events", "").is(t, 200, "event: flow.completed\n")
	}
	do(t, "POST", url, event("x", "flow.completed"), "Content-Type", "application/cloudevents+json").is(t, 400, "it must be one of flow.submit")
	do(t, "POST", url, `{"id": "x"}`, "Content-Type", "application/cloudevents+json").is(t, 400)
	do(t, "POST", url, data, "Content-Type", "application/json").is(t, 400, "no CloudEvent")
}

// Who has no credentials, or those of another role or tenant, can do no more than on NATS.
func TestCredentials(t *testing.T) {
	id := fresh("umas")
	flows := all.others + "/v1/flows"
	bearer := func(token string) []string { return []string{"Authorization", "Bearer " + token} }
	do(t, "GET", flows, "").is(t, 401, "credentials are required")
	do(t, "GET", flows, "", bearer(secret)...).is(t, 401)
	do(t, "GET", all.own+"/v1/flows", "", bearer("nonsense")...).is(t, 401)
	do(t, "GET", all.own+"/v1/flows", "", "Authorization", "Bearer").is(t, 401, "credentials are required")
	do(t, "GET", flows, "", bearer("nonsense")...).is(t, 401, "not a credentials file")
	do(t, "GET", flows, "", "Authorization", "Basic YTpi").is(t, 401)
	do(t, "GET", flows, "", bearer(strings.Repeat("A", 20_000))...).is(t, 401)
	viewer := bearer(token(t, keyring.DefaultTenant, "vic", access.Viewer))
	do(t, "GET", flows, "", viewer...).is(t, 200)
	do(t, "POST", flows, names, viewer...).is(t, 403, "it takes the role user")
	user := bearer(token(t, keyring.DefaultTenant, "uma", access.User))
	do(t, "POST", flows+"?id="+id, greet, append(user, "Prefer", "wait")...).is(t, 202)
	do(t, "PUT", all.others+"/v1/progdefs/mine", `{"name": "mine", "command": ["true"]}`, user...).is(t, 403, "it takes the role publisher")
	do(t, "POST", flows+"/"+id+"/cancel", "", bearer(token(t, keyring.DefaultTenant, "eve", access.User))...).is(t, 202) // answered by a dead letter
	do(t, "GET", flows+"/"+id, "", user...).is(t, 200, `"owner":"uma"`)
	do(t, "POST", flows+"/"+id+"/cancel?reason=enough", "", user...).is(t, 202)
	do(t, "GET", flows+"/"+id+"/events", "", user...).is(t, 200, "event: flow.cancelled", "enough")
	stranger, err := keyring.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	creds, err := stranger.Issue(keyring.DefaultTenant, access.Credential{Role: access.Operator, Name: "mallory"})
	if err != nil {
		t.Fatal(err)
	}
	do(t, "GET", flows, "", bearer(base64.StdEncoding.EncodeToString(creds))...).is(t, 401)
	// A page of another site, and a name that leads to this machine.
	do(t, "POST", all.own+"/v1/flows", names, "Origin", "http://evil.example").is(t, 403)
	do(t, "POST", all.own+"/v1/flows", names, "Sec-Fetch-Site", "cross-site").is(t, 403)
	do(t, "GET", all.own+"/v1/flows", "", "Host", "evil.example").is(t, 421)
}

// A client that goes ends its flow, and one that is slow is waited for: nothing is buffered without bounds.
func TestClients(t *testing.T) {
	ctx, leave := context.WithCancel(t.Context())
	in, feed := io.Pipe()
	r, err := http.NewRequestWithContext(ctx, "POST", all.own+"/v1/run", in)
	if err != nil {
		t.Fatal(err)
	}
	w := multipart.NewWriter(feed)
	r.Header.Set("Content-Type", w.FormDataContentType())
	sent := make(chan int64, 1)
	go func() {
		p, err := w.CreateFormField("flow")
		if err == nil {
			_, err = io.WriteString(p, greet)
		}
		if err == nil {
			p, err = w.CreateFormField("names")
		}
		var n int64
		for line := []byte(strings.Repeat("x", 1023) + "\n"); err == nil; n += int64(len(line)) {
			_, err = p.Write(line)
		}
		sent <- n
	}()
	res, err := http.DefaultClient.Do(authorize(r))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	id := res.Header.Get("Dagyo-Flow")
	if line, err := bufio.NewReaderSize(res.Body, 4096).ReadString('\n'); err != nil || !strings.HasPrefix(line, "hello xxx") {
		t.Fatalf("%.20q, %v", line, err)
	}
	time.Sleep(time.Second) // it could send hundreds of megabytes
	leave()
	_ = feed.CloseWithError(context.Canceled)
	if n := <-sent; n > 200<<20 {
		t.Errorf("%d bytes were taken from a client that does not read", n)
	}
	ends(t, id, contract.TypeFlowCancelled)
}

// slowFeed sends a request whose body does not end before the test, and returns its answer.
func slowFeed(t *testing.T, ctx context.Context, method, url, contentType, begin string) (wait func() (*http.Response, error)) {
	t.Helper()
	in, feed := io.Pipe()
	context.AfterFunc(ctx, func() { _ = feed.CloseWithError(context.Canceled) }) // net/http waits for the body
	r, err := http.NewRequestWithContext(ctx, method, url, in)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", contentType)
	var res *http.Response
	done := make(chan struct{})
	go func() {
		defer close(done)
		res, err = http.DefaultClient.Do(authorize(r))
	}()
	if _, err := io.WriteString(feed, begin); err != nil { // it returns when the client has taken all
		t.Fatal(err)
	}
	return func() (*http.Response, error) {
		<-done
		return res, err
	}
}

// A client that goes ends its flow also if it has no output to read.
func TestClientGoesWithoutOutputs(t *testing.T) {
	const sink = `{"nodes": {"v": {"progdef": "void_sink", "types": {"T": "utf8-string"}}}, "inputs": {"in": "v.in"}}`
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	body, contentType := form("flow", sink, "in", "one\n")
	wait := slowFeed(t, ctx, "POST", all.own+"/v1/run", contentType, body[:len(body)-10])
	flow := started(t, "void_sink")
	leave()
	if res, err := wait(); err == nil {
		_ = res.Body.Close()
		t.Error("a request without a client has an answer")
	}
	ends(t, flow, contract.TypeFlowCancelled)
}

// started waits until a flow with a job of a progdef is live.
func started(t *testing.T, progdef string) string {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		var page contract.FlowPage
		if err := json.Unmarshal([]byte(do(t, "GET", all.own+"/v1/flows?live=true&progdef="+progdef, "").body), &page); err != nil {
			t.Fatal(err)
		}
		if len(page.Flows) > 0 {
			return page.Flows[0].Flow
		}
	}
	t.Fatal("no flow has started")
	return ""
}

// An input whose client sends nothing more ends with its flow, and when the gateway stops.
func TestInputsEnd(t *testing.T) {
	id := fresh("cancelled")
	do(t, "POST", all.own+"/v1/flows?id="+id, greet, "Prefer", "wait").is(t, 202)
	wait := slowFeed(t, t.Context(), "PUT", all.own+"/v1/flows/"+id+"/inputs/names", "", "Ada\n")
	isFed(t, id)
	do(t, "POST", all.own+"/v1/flows/"+id+"/cancel?reason=enough", "").is(t, 202)
	isAnswered(t, wait, 422, "enough")

	s, err := gateway.Listen("127.0.0.1:0", nil, gateway.Config{Server: all.local.URL(), Own: all.local.Access().Creds, Token: secret, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	id = fresh("stopped")
	do(t, "POST", all.own+"/v1/flows?id="+id, greet, "Prefer", "wait").is(t, 202)
	url := "http://" + s.Addr().String() + "/v1/flows/" + id
	wait = slowFeed(t, t.Context(), "PUT", url+"/inputs/names", "", "Ada\n")
	isFed(t, id)
	if err := s.Close(0); err != nil {
		t.Error(err)
	}
	isAnswered(t, wait, 503, "the gateway is being stopped")
}

// isFed waits for the first record of a greet flow. Its output stays open until the end of the test.
func isFed(t *testing.T, flow string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", all.own+"/v1/flows/"+flow+"/outputs/greetings", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(authorize(r))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	if line, err := bufio.NewReader(res.Body).ReadString('\n'); err != nil || line != "hello Ada\n" {
		t.Fatalf("%q, %v", line, err)
	}
}

func isAnswered(t *testing.T, wait func() (*http.Response, error), status int, part string) {
	t.Helper()
	res, err := wait()
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	answer{res, string(body)}.is(t, status, part)
}

// A gateway is ready if NATS accepts connections.
func TestReady(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	silent := l.Addr().String()
	for server, status := range map[string]int{
		all.local.URL(): 200, "nats://127.0.0.1:1": 503, "nats://" + silent + "," + all.local.URL(): 200, strings.TrimPrefix(all.local.URL(), "nats://"): 200,
	} {
		g := gateway.New(gateway.Config{Server: server, Log: zerolog.Nop()})
		w := httptest.NewRecorder()
		g.ServeHTTP(w, httptest.NewRequest("GET", "/readyz", nil))
		g.Close()
		if w.Code != status {
			t.Errorf("%s: %d, %s", server, w.Code, w.Body)
		}
	}
	_ = l.Close()
}
