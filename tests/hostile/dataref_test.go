package hostile

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/event"
	"github.com/dagyo/dagyo/pkg/eventlog"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/tests/harness"
)

const maxPayload = 1 << 20

func connect(t *testing.T) *broker.Link {
	t.Helper()
	return connectTo(t, maxPayload)
}

func connectTo(t *testing.T, maxPayload int32) *broker.Link {
	t.Helper()
	s := harness.StartServer(t, t.TempDir(), maxPayload)
	t.Cleanup(s.Stop)
	link, err := broker.Connect(t.Context(), broker.Options{URL: s.ClientURL(), Wait: harness.Patience})
	if err == nil {
		t.Cleanup(link.Close)
		err = broker.Ensure(t.Context(), link, broker.DefaultConfig())
	}
	if err != nil {
		t.Fatal(err)
	}
	return link
}

// put stores an object in parts of the given size, with a description that may claim another size than it has.
func put(t *testing.T, link *broker.Link, name string, data []byte, part, size int) {
	t.Helper()
	info := jetstream.ObjectInfo{Bucket: contract.BucketData, NUID: "of-" + name, ModTime: time.Now(), Size: uint64(size)}
	info.Name = name
	for chunk := range slices.Chunk(data, part) {
		if _, err := link.JS.Publish(t.Context(), "$O.data.C."+info.NUID, chunk); err != nil {
			t.Fatal(err)
		}
		info.Chunks++
	}
	sum := sha256.Sum256(data)
	info.Digest = "SHA-256=" + base64.URLEncoding.EncodeToString(sum[:])
	body, err := json.Marshal(info)
	if err == nil {
		_, err = link.JS.Publish(t.Context(), "$O.data.M."+base64.URLEncoding.EncodeToString([]byte(name)), body)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func referring(typ contract.Type, name string) *nats.Msg {
	return &nats.Msg{Subject: string(typ), Header: nats.Header{
		"ce-specversion": {"1.0"}, "ce-id": {"i"}, "ce-source": {"/t"}, "ce-type": {string(typ)}, "ce-subject": {"f"},
		"ce-dataref": {"nats-object://data/" + name},
	}}
}

// A read is cheap whatever a client has stored: objects of small chunks, and those that are larger than any document, are
// not read to their end.
func TestHostileObjects(t *testing.T) {
	link := connect(t)
	document := []byte(`{"nodes":{}}`)
	large := bytes.Repeat([]byte("x"), 300<<10)
	put(t, link, "one-small-chunk", document, 1<<20, len(document))
	put(t, link, "of-a-common-client", large, 128<<10, len(large))
	put(t, link, "slivers", large[:2000], 1, 60<<20)
	put(t, link, "small-chunks", large, 32<<10, len(large))
	put(t, link, "too-large", document, 1<<20, event.DocumentLimit+1)
	digest := strings.Repeat("ab", sha256.Size)
	put(t, link, digest, large, 128<<10, len(large))
	for name, want := range map[string]string{
		"one-small-chunk": "", "of-a-common-client": "", "slivers": "the limit is 16777216", "small-chunks": "has 32768 bytes", "too-large": "the limit is 16777216",
		digest: "was replaced",
	} {
		sent := link.Stats().OutMsgs
		m := referring(contract.TypeFlowSubmit, name)
		_, err := link.Resolve(t.Context(), m.Subject, m.Header, m.Data)
		var unreadable *event.Unreadable
		if want == "" && err != nil || want != "" && (!errors.As(err, &unreadable) || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
		if requests := link.Stats().OutMsgs - sent; requests > 4 {
			t.Errorf("%s: %d requests", name, requests)
		}
	}
	put(t, link, "slivers-of-a-plan", large[:2000], 1, 60<<20)
	m := referring(contract.TypeFlowPlanned, "slivers-of-a-plan")
	if _, err := link.Resolve(t.Context(), m.Subject, m.Header, m.Data); err == nil || !strings.Contains(err.Error(), "has 1 bytes") {
		t.Errorf("an object of 1-byte chunks: %v", err)
	}
}

// Only events that may be large refer to their data: others are refused without a look at it, and never sent like that.
func TestWhichEventsRefer(t *testing.T) {
	link := connect(t)
	for _, entry := range contract.Table {
		m := referring(entry.Type, "missing")
		_, err := link.Resolve(t.Context(), m.Subject, m.Header, m.Data)
		if refused := err != nil && strings.Contains(err.Error(), "must be in the event"); refused == entry.MayRefer() {
			t.Errorf("%s: %v", entry.Type, err)
		}
	}
	e := event.New(contract.TypeFlowCancel, "/t", "f", &contract.FlowCancel{Reason: strings.Repeat("x", maxPayload)}, time.Now())
	var problems problem.List
	if _, err := link.Encode(t.Context(), e); !errors.As(err, &problems) || problems[0].Code != problem.TooLarge {
		t.Errorf("a cancel that is larger than a message: %v", err)
	}
}

// A message whose data the broker does not return in time is read nevertheless, with a problem for its sender.
func TestSlowDataIsAProblem(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("waits for three time-outs")
	}
	s := harness.PlainServer(t, t.TempDir(), maxPayload)
	t.Cleanup(s.Shutdown)
	link, err := broker.Connect(t.Context(), broker.Options{URL: s.ClientURL(), Wait: harness.Patience})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(link.Close)
	m := referring(contract.TypeFlowSubmit, "slow")
	var head bytes.Buffer
	head.WriteString("NATS/1.0\r\n")
	for key, values := range m.Header {
		fmt.Fprintf(&head, "%s: %s\r\n", key, values[0])
	}
	head.WriteString("\r\n")
	answer, err := json.Marshal(map[string]any{"message": map[string]any{
		"subject": m.Subject, "seq": 7, "hdrs": head.Bytes(), "time": time.Now(),
	}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := link.Subscribe(link.LeaderSubject(contract.StreamEvents), func(q *nats.Msg) { _ = q.Respond(answer) }); err != nil {
		t.Fatal(err)
	}
	tries := make(chan struct{}, 10)
	silent := func(*nats.Msg) { tries <- struct{}{} }
	if _, err := link.Subscribe(link.LeaderSubject("OBJ_data"), silent); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	stored, _, err := eventlog.New(link, "test", zerolog.Nop()).Read(ctx, 7)
	if err != nil || stored == nil || len(stored.Problems) != 1 || stored.Problems[0].Code != problem.GaveUp || !strings.Contains(stored.Problems[0].Message, "could not be read within 10s") {
		t.Errorf("%+v, %v", stored, err)
	}
	if len(tries) != 3 {
		t.Errorf("%d tries", len(tries))
	}
}
