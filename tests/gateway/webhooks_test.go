package gateway

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/access"
	"github.com/dagyo/dagyo/services/dagyo/keyring"
	"github.com/dagyo/dagyo/services/dagyo/landlord"
)

// subjects returns a server that passes on the subjects of the events that it gets.
func subjects(t *testing.T) (url string, got <-chan string) {
	t.Helper()
	out := make(chan string, 100)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var e struct{ Subject string }
		if err := json.NewDecoder(r.Body).Decode(&e); err != nil {
			t.Error(err)
		}
		out <- e.Subject
	}))
	t.Cleanup(server.Close)
	return server.URL, out
}

// next returns the next subject.
func next(t *testing.T, got <-chan string) string {
	t.Helper()
	select {
	case s := <-got:
		return s
	case <-time.After(patience):
		t.Fatal("nothing is delivered")
		return ""
	}
}

func TestWebhooks(t *testing.T) {
	url, got := subjects(t)
	hooks := all.own + "/v1/webhooks"
	orders := hooks + "/" + fresh("orders")
	name := filepath.Base(orders)
	doc := `{"name": "` + name + `", "url": "` + url + `"}`
	do(t, "GET", orders, "").is(t, 404, "webhook not found")
	do(t, "PUT", orders, `{"name": "`+name+`", "url": "x"}`).is(t, 422, "bad-url", "/url")
	do(t, "PUT", orders, `{"name": "other", "url": "`+url+`"}`).is(t, 400, "is not named")
	do(t, "PUT", orders, "x").is(t, 400)
	do(t, "PUT", hooks+"/Bad", doc).is(t, 400, "is not the name of a webhook")
	a := do(t, "PUT", orders, doc)
	a.is(t, 200, `"key":"whpk_`, `"flow.completed"`)
	var applied struct{ Key string }
	if err := json.Unmarshal([]byte(a.body), &applied); err != nil {
		t.Fatal(err)
	}
	do(t, "GET", hooks, "").is(t, 200, name, applied.Key)
	do(t, "POST", orders+"/test", "").is(t, 200, `"delivered":true`, `"status":200`)
	if s := next(t, got); s != name {
		t.Errorf("a test of %s is about %s", name, s)
	}
	flow := post(t, "", "flow", greet, "names", "Ada\n").Header.Get("Dagyo-Flow")
	if s := next(t, got); s != flow {
		t.Errorf("delivered: %s, want %s", s, flow)
	}
	do(t, "POST", orders+"/rotate", "").is(t, 200, `"key":"whpk_`, `"until":"`)
	do(t, "GET", orders, "").is(t, 200, applied.Key, `"pending":0`)
	do(t, "DELETE", orders, "").is(t, 204)
	do(t, "DELETE", orders, "").is(t, 404)
	do(t, "POST", orders+"/test", "").is(t, 404)
	do(t, "POST", orders+"/rotate", "").is(t, 404)
}

// Publishers and operators change webhooks; everybody in a tenant may see them, and nobody else. Each gets the verdicts of its own
// tenant only.
func TestRightsOfWebhooks(t *testing.T) {
	tenant := fresh("acme")
	x, err := landlord.OpenAll(t.Context(), landlord.Place{Data: filepath.Join(all.dir, "data")})
	if err != nil {
		t.Fatal(err)
	}
	made, err := x.Keys.Add(keyring.Tenant{Name: tenant})
	if err == nil {
		err = x.Publish(t.Context(), tenant)
	}
	if err == nil {
		err = x.Await(t.Context(), made.ID, access.TenantReady)
	}
	x.Close()
	if err != nil {
		t.Fatal(err)
	}
	hooks := all.others + "/v1/webhooks"
	bearer := func(tenant string, r access.Role) []string {
		return []string{"Authorization", "Bearer " + token(t, tenant, strings.ToLower(string(r)), r)}
	}
	url, here := subjects(t)
	elsewhere, there := subjects(t)
	doc := func(url string) string { return `{"name": "orders", "url": "` + url + `"}` }
	for _, r := range []access.Role{access.Viewer, access.User} {
		as := bearer(keyring.DefaultTenant, r)
		do(t, "PUT", hooks+"/orders", doc(url), as...).is(t, 403, "it takes the role publisher or operator")
		do(t, "DELETE", hooks+"/orders", "", as...).is(t, 403)
		do(t, "POST", hooks+"/orders/test", "", as...).is(t, 403)
		do(t, "POST", hooks+"/orders/rotate", "", as...).is(t, 403)
		do(t, "GET", hooks, "", as...).is(t, 200)
	}
	publisher, operator := bearer(keyring.DefaultTenant, access.Publisher), bearer(tenant, access.Operator)
	do(t, "PUT", hooks+"/orders", doc(url), publisher...).is(t, 200, `"by":"publisher"`)
	do(t, "GET", hooks, "", operator...).is(t, 200, "[]")
	do(t, "DELETE", hooks+"/orders", "", operator...).is(t, 404)
	do(t, "PUT", hooks+"/orders", doc(elsewhere), operator...).is(t, 200, `"by":"operator"`)
	do(t, "GET", hooks+"/orders", "", operator...).is(t, 200, elsewhere)
	empty := `{"nodes": {}, "edges": []}`
	id := fresh("same")
	do(t, "POST", all.others+"/v1/flows?id="+id+"-a", empty, publisher...).is(t, 202)
	do(t, "POST", all.others+"/v1/flows?id="+id+"-b", empty, operator...).is(t, 202)
	for s := next(t, here); s != id+"-a"; s = next(t, here) { // other tests have flows, too
		if s == id+"-b" {
			t.Errorf("%s is of another tenant", s)
		}
	}
	if s := next(t, there); s != id+"-b" {
		t.Errorf("the tenant gets %s", s)
	}
	do(t, "DELETE", hooks+"/orders", "", publisher...).is(t, 204)
	do(t, "GET", hooks+"/orders", "", operator...).is(t, 200)
}
