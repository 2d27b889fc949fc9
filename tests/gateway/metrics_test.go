package gateway

import (
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/dagyo/dagyo/services/dagyo/monitor"
	"github.com/dagyo/dagyo/services/gateway"
)

// Requests are counted by the pattern of their route and the class of their status, on an address of their own.
func TestMetrics(t *testing.T) {
	m, err := monitor.New(t.Context(), monitor.Config{Name: "dagyo-gateway", Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	page, err := m.Listen("127.0.0.1:0", false, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	door, err := gateway.Listen("127.0.0.1:0", nil, gateway.Config{
		Server: all.local.URL(), Own: all.local.Access().Creds, Token: secret, Log: zerolog.Nop(), Metrics: m.Meter(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, err := range []error{door.Close(0), page.Close(), m.Close(t.Context())} {
			if err != nil {
				t.Error(err)
			}
		}
	})
	url := "http://" + door.Addr().String()
	do(t, "GET", url+"/v1/flows", "").is(t, 200)
	do(t, "GET", url+"/v1/flows/nobody", "").is(t, 404)
	do(t, "GET", url+"/v1/flows/nobody-else", "").is(t, 404)
	do(t, "GET", url+"/v1/flows", "", "Authorization", "Basic x").is(t, 401)
	do(t, "GET", url+"/v1/nowhere", "").is(t, 404)
	do(t, "GET", url+"/metrics", "").is(t, 404)
	body, contentType := form("flow", greet, "names", "Ada\n")
	do(t, "POST", url+"/v1/run", body, "Content-Type", contentType).is(t, 200)
	body, contentType = form("flow", "{")
	do(t, "POST", url+"/v1/run", body, "Content-Type", contentType).is(t, 400)
	const run = `dagyo_http_requests_total{route="POST /v1/run",status=`
	lines := []string{
		`dagyo_http_requests_total{route="GET /v1/flows",status="2xx"} 1`,
		`dagyo_http_requests_total{route="GET /v1/flows",status="4xx"} 1`,
		`dagyo_http_requests_total{route="GET /v1/flows/{id}",status="4xx"} 2`,
		run + `"2xx"} 1`, run + `"4xx"} 1`,
		`dagyo_http_request_seconds_count{route="GET /v1/flows"} 2`,
		`dagyo_http_sessions 1`,
		`dagyo_http_streams 0`,
	}
	deadline := time.Now().Add(patience) // a request is counted a moment after its answer
	for {
		text := do(t, "GET", "http://"+page.Addr().String()+"/metrics", "").body
		missing := ""
		for _, line := range lines {
			if !strings.Contains(text, line+"\n") {
				missing = line
			}
		}
		if missing == "" {
			if strings.Contains(text, "nobody") || strings.Contains(text, "nowhere") {
				t.Errorf("a path is a label:\n%s", text)
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the page lacks %s:\n%s", missing, text)
		}
	}
}
