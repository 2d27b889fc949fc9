package webhooks

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"github.com/dagyo/dagyo/tests/harness"
)

// A request is one that a receiver has got.
type request struct {
	id, timestamp, signature string
	event                    cloudevents.Event
	body                     []byte
	at                       time.Time
}

// A receiver is the server of a webhook.
type receiver struct {
	*httptest.Server
	mu   sync.Mutex
	got  []request
	more chan struct{}
	bad  []error
	// answer answers the n-th request, from 0; nil for 204.
	answer func(n int, r request, w http.ResponseWriter)
}

func newReceiver(t *testing.T, answer func(n int, r request, w http.ResponseWriter)) *receiver {
	t.Helper()
	x := &receiver{more: make(chan struct{}), answer: answer}
	x.Server = httptest.NewServer(x)
	t.Cleanup(func() {
		x.Server.CloseClientConnections()
		x.Server.Close()
		x.mu.Lock()
		defer x.mu.Unlock()
		for _, err := range x.bad {
			t.Error(err)
		}
	})
	return x
}

// ServeHTTP implements http.Handler.
func (x *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the sender has gone
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	e, err := cehttp.NewEventFromHTTPRequest(r)
	got := request{r.Header.Get("webhook-id"), r.Header.Get("webhook-timestamp"), r.Header.Get("webhook-signature"), cloudevents.Event{}, body, time.Now()}
	if err == nil {
		got.event = *e
		err = e.Validate()
	}
	if err == nil && (r.Method != http.MethodPost || got.id == "" || strings.Contains(got.id, ".")) {
		err = fmt.Errorf("%s with the id %q", r.Method, got.id)
	}
	x.mu.Lock()
	n := len(x.got)
	x.got = append(x.got, got)
	if err != nil {
		x.bad = append(x.bad, err)
	}
	close(x.more)
	x.more = make(chan struct{})
	x.mu.Unlock()
	if x.answer == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	x.answer(n, got, w)
}

func (x *receiver) requests() []request {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Clone(x.got)
}

// await waits until the requests so far meet a condition.
func (x *receiver) await(t *testing.T, what string, until func([]request) bool) []request {
	t.Helper()
	late := time.After(harness.Patience)
	for {
		x.mu.Lock()
		got, more := slices.Clone(x.got), x.more
		x.mu.Unlock()
		if until(got) {
			return got
		}
		select {
		case <-more:
		case <-late:
			t.Fatalf("%s: got %d requests: %v", what, len(got), flows(got))
		}
	}
}

// awaitFlows waits until an event of each flow has arrived.
func (x *receiver) awaitFlows(t *testing.T, want ...string) []request {
	t.Helper()
	return x.await(t, fmt.Sprint("events of ", len(want), " flows"), func(got []request) bool {
		have := make(map[string]bool)
		for _, r := range got {
			have[r.event.Subject()] = true
		}
		return !slices.ContainsFunc(want, func(flow string) bool { return !have[flow] })
	})
}

func flows(got []request) (out []string) {
	for _, r := range got {
		out = append(out, r.event.Type()+" "+r.event.Subject())
	}
	return out
}

// once checks that there is one request for each flow.
func once(t *testing.T, got []request) {
	t.Helper()
	count := make(map[string]int)
	for _, r := range got {
		if count[r.event.Subject()]++; count[r.event.Subject()] == 2 {
			t.Errorf("%s of %s was delivered twice", r.event.Type(), r.event.Subject())
		}
	}
}

// verify checks a request as a receiver does that knows the specification of Standard Webhooks only: it needs nothing of
// Dagyo. It returns how many signatures there are.
func verify(t *testing.T, r request, key string) int {
	t.Helper()
	encoded, ok := strings.CutPrefix(key, "whpk_")
	public, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil || len(public) != ed25519.PublicKeySize {
		t.Fatalf("%q is not a public key: %v", key, err)
	}
	if sent, err := strconv.ParseInt(r.timestamp, 10, 64); err != nil || r.at.Sub(time.Unix(sent, 0)).Abs() > 5*time.Minute {
		t.Errorf("the timestamp is %q: %v", r.timestamp, err)
	}
	content := r.id + "." + r.timestamp + "." + string(r.body)
	signatures := strings.Split(r.signature, " ")
	for _, each := range signatures {
		raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(each, "v1a,"))
		if err == nil && strings.HasPrefix(each, "v1a,") && ed25519.Verify(public, []byte(content), raw) {
			return len(signatures)
		}
	}
	t.Errorf("no signature of %s verifies: %s", r.id, r.signature)
	return len(signatures)
}

// hook returns the document of a webhook.
func hook(t *testing.T, name, url string, more map[string]any) []byte {
	t.Helper()
	doc := map[string]any{"name": name, "url": url}
	for field, value := range more {
		doc[field] = value
	}
	raw, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// A lockedBuffer is a buffer for several goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
