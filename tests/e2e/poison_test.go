package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/tests/harness"
)

// A poison test sends messages that must not stop a service, now or after a restart.
type poisoned struct {
	*harness.Stack
	c    *harness.Client
	good int
}

func poison(t *testing.T, o harness.Options) *poisoned {
	t.Helper()
	s := harness.Start(t, o)
	p := &poisoned{Stack: s, c: s.Client(t)}
	applyGood(t, p.c, 10, 1)
	return p
}

// goodFlow runs a flow that must complete.
func (p *poisoned) goodFlow(t *testing.T) {
	t.Helper()
	p.good++
	id := fmt.Sprintf("good-%d", p.good)
	p.c.Submit(t, id, words)
	completed(t, p.c.AwaitEnd(t, id))
	p.c.Await(t, "clean-up of "+id, harness.Is(contract.TypeFlowCleaned, id))
}

// survives runs a good flow, restarts all services, and runs another good flow.
func (p *poisoned) survives(t *testing.T) {
	t.Helper()
	p.goodFlow(t)
	p.RestartAll(t)
	p.goodFlow(t)
}

// letter waits for the dead letter about a message.
func (p *poisoned) letter(t *testing.T, seq uint64) {
	t.Helper()
	p.c.Await(t, fmt.Sprintf("dead letter about message %d", seq), func(e contract.Event) bool {
		d, ok := e.Data.(*contract.DeadLetter)
		return ok && d.Sequence == seq
	})
}

// putObject stores an object in the data bucket as a hostile client might: its chunks and its description.
func (p *poisoned) putObject(t *testing.T, name string, chunks [][]byte, change func(*jetstream.ObjectInfo)) {
	t.Helper()
	info := jetstream.ObjectInfo{Bucket: contract.BucketData, NUID: "chunks" + fmt.Sprint(time.Now().UnixNano()), ModTime: time.Now()}
	info.Name, info.Chunks = name, uint32(len(chunks))
	whole := sha256.New()
	for _, chunk := range chunks {
		if _, err := p.c.JS.Publish(t.Context(), "$O."+info.Bucket+".C."+info.NUID, chunk); err != nil {
			t.Fatal(err)
		}
		whole.Write(chunk)
		info.Size += uint64(len(chunk))
	}
	info.Digest = "SHA-256=" + base64.URLEncoding.EncodeToString(whole.Sum(nil))
	change(&info)
	meta, err := json.Marshal(info)
	if err != nil {
		t.Fatal(err)
	}
	m := &nats.Msg{
		Subject: "$O." + info.Bucket + ".M." + base64.URLEncoding.EncodeToString([]byte(name)), Data: meta,
		Header: nats.Header{"Nats-Rollup": {"sub"}},
	}
	if _, err := p.c.JS.PublishMsg(t.Context(), m); err != nil {
		t.Fatal(err)
	}
}

// A command that refers to data that cannot or must not be read is rejected.
func TestPoisonByReference(t *testing.T) {
	p := poison(t, harness.DefaultOptions())
	document := []byte(words)
	chunks := [][]byte{document[:10], document[10:]}
	asIs := func(*jetstream.ObjectInfo) {}
	link := func(bucket, name string) func(*jetstream.ObjectInfo) {
		return func(i *jetstream.ObjectInfo) {
			i.Opts = &jetstream.ObjectMetaOptions{Link: &jetstream.ObjectLink{Bucket: bucket, Name: name}}
		}
	}
	if _, err := p.c.JS.CreateObjectStore(t.Context(), jetstream.ObjectStoreConfig{Bucket: "elsewhere"}); err != nil {
		t.Fatal(err)
	}
	other, err := p.c.JS.ObjectStore(t.Context(), "elsewhere")
	if err == nil {
		_, err = other.PutBytes(t.Context(), "x", document)
	}
	if err != nil {
		t.Fatal(err)
	}
	objects := map[string]struct {
		chunks [][]byte
		change func(*jetstream.ObjectInfo)
	}{
		"missing-chunks":  {chunks[:1], func(i *jetstream.ObjectInfo) { i.Size, i.Chunks = uint64(len(document)), 2 }},
		"no-chunks":       {nil, func(i *jetstream.ObjectInfo) { i.Size, i.Chunks = uint64(len(document)), 2 }},
		"no-nuid":         {chunks, func(i *jetstream.ObjectInfo) { i.NUID = "" }},
		"odd-nuid":        {chunks, func(i *jetstream.ObjectInfo) { i.NUID = "a b.>.*" }},
		"wild-nuid":       {chunks, func(i *jetstream.ObjectInfo) { i.NUID = ">" }},
		"wrong-digest":    {chunks, func(i *jetstream.ObjectInfo) { i.Digest = "SHA-256=AAAA" }},
		"no-digest":       {chunks, func(i *jetstream.ObjectInfo) { i.Digest = "" }},
		"link-to-itself":  {chunks, link(contract.BucketData, "link-to-itself")},
		"link-elsewhere":  {chunks, link("elsewhere", "x")},
		"link-to-bucket":  {chunks, link("elsewhere", "")},
		"says-too-much":   {chunks, func(i *jetstream.ObjectInfo) { i.Size = 1 << 62 }},
		"says-too-little": {chunks, func(i *jetstream.ObjectInfo) { i.Size = 5 }},
		"deleted":         {chunks, func(i *jetstream.ObjectInfo) { i.Deleted = true }},
		"empty":           {nil, asIs},
		"not-a-document":  {[][]byte{[]byte("\x00\x01{")}, asIs},
	}
	var buckets = []string{contract.BucketData}
	names := slices.Sorted(maps.Keys(objects))
	for _, name := range names {
		p.putObject(t, name, objects[name].chunks, objects[name].change)
	}
	names = append(names, "never-there", "odd%20name", "a%2Fb", "%00", "..", strings.Repeat("x", 2000))
	refs := map[string]string{}
	for i, name := range names {
		refs[fmt.Sprintf("ref-%d", i)] = "nats-object://" + buckets[0] + "/" + name
	}
	refs["other-bucket"], refs["odd-bucket"] = "nats-object://elsewhere/x", "nats-object://a.b%3E/x"
	for id, ref := range refs {
		for _, typ := range []contract.Type{contract.TypeFlowSubmit, contract.TypeProgdefApply, contract.TypeTypeApply} {
			header := binaryHeader(id)
			header.Set("ce-type", string(typ))
			header.Set("ce-dataref", ref)
			seq := send(t, p.c, string(typ), header, nil)
			p.c.Await(t, fmt.Sprintf("answer to %s by %s", typ, ref), func(e contract.Event) bool {
				d, ok := e.Data.(*contract.DeadLetter)
				rejected := e.Type == contract.TypeFlowRejected || e.Type == contract.TypeProgdefRejected || e.Type == contract.TypeTypeRejected
				return ok && d.Sequence == seq || rejected && e.Subject == id && e.Cause == seq
			})
		}
	}
	p.survives(t)
}

// An object that is larger than described costs no memory.
func TestLargeObjectByReference(t *testing.T) {
	const size = 32 << 20
	o := harness.DefaultOptions()
	o.Processes = harness.Services
	p := poison(t, o)
	chunks := slices.Repeat([][]byte{bytes.Repeat([]byte("x"), 128<<10)}, size/(128<<10))
	p.putObject(t, "large", chunks, func(i *jetstream.ObjectInfo) { i.Size = 100 })
	before := map[string]int64{}
	for _, name := range harness.Services {
		before[name] = harness.Memory(p.Leader(t, name).PID())
	}
	for i := range 10 {
		id := fmt.Sprintf("large-%d", i)
		header := binaryHeader(id)
		header.Set("ce-dataref", "nats-object://data/large")
		send(t, p.c, "flow.submit", header, nil)
		if end := p.c.AwaitEnd(t, id); end.Type != contract.TypeFlowRejected {
			t.Errorf("%s, want flow.rejected", end.Type)
		}
	}
	for _, name := range harness.Services {
		if grown := harness.Memory(p.Leader(t, name).PID()) - before[name]; grown > size/2 {
			t.Errorf("the %s has grown by %d KiB", name, grown>>10)
		}
	}
	p.goodFlow(t)
}

// Inconsistent events of services are answered, and block no service.
func TestPoisonOfServices(t *testing.T) {
	p := poison(t, harness.DefaultOptions())
	c := p.c
	// The poison is derived from the events of a good flow.
	c.Submit(t, "model", words)
	validated := c.Await(t, "model", harness.Is(contract.TypeFlowValidated, "model")).Raw
	planned := c.Await(t, "model", harness.Is(contract.TypeFlowPlanned, "model")).Raw
	c.AwaitEnd(t, "model")

	type step struct {
		typ  contract.Type
		data []byte
	}
	edit := func(raw []byte, change func(map[string]any)) []byte {
		var d map[string]any
		if err := json.Unmarshal(raw, &d); err != nil {
			t.Fatal(err)
		}
		change(d)
		out, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	at := func(d map[string]any, path ...any) map[string]any {
		var v any = d
		for _, key := range path {
			switch k := key.(type) {
			case string:
				v = v.(map[string]any)[k]
			case int:
				v = v.([]any)[k]
			}
		}
		return v.(map[string]any)
	}
	asValid := step{contract.TypeFlowValidated, validated}
	poisons := map[string][]step{
		"missing-from": {{contract.TypeFlowValidated, edit(validated, func(d map[string]any) { at(d, "flow", "edges", 0)["from"] = "nobody.out" })}},
		"missing-to":   {{contract.TypeFlowValidated, edit(validated, func(d map[string]any) { at(d, "flow", "edges", 0)["to"] = "nobody.in" })}},
		"no-port":      {{contract.TypeFlowValidated, edit(validated, func(d map[string]any) { at(d, "flow", "edges", 0)["to"] = "sink" })}},
		"no-nodes":     {{contract.TypeFlowValidated, edit(validated, func(d map[string]any) { delete(at(d, "flow"), "nodes") })}},
		"no-progdefs":  {{contract.TypeFlowValidated, edit(validated, func(d map[string]any) { delete(d, "progdefs") })}},
		"odd-progdef":  {{contract.TypeFlowValidated, edit(validated, func(d map[string]any) { at(d, "flow", "nodes", "sink")["progdef"] = "a.b > c" })}},
		"odd-revision": {{contract.TypeFlowValidated, edit(validated, func(d map[string]any) { at(d, "progdefs", "sink")["revision"] = "*" })}},
		"odd-node": {{contract.TypeFlowValidated, edit(validated, func(d map[string]any) {
			nodes := at(d, "flow", "nodes")
			nodes["a b.>"] = nodes["sink"]
		})}},
		"no-slots": {{contract.TypeFlowValidated, edit(validated, func(d map[string]any) {
			at(d, "progdefs", "sink", "document", "scaling")["jobsPerExecutor"] = 0
		})}},
		"minus-slots": {{contract.TypeFlowValidated, edit(validated, func(d map[string]any) {
			at(d, "progdefs", "sink", "document", "scaling")["jobsPerExecutor"] = -5
			at(d, "progdefs", "sink")["revision"] = "000000000000"
		})}},
		"plan-of-nothing":       {asValid, {contract.TypeFlowPlanned, []byte(`{"jobs":[],"edges":[],"progdefs":{},"inputs":{},"outputs":{},"deadline":"0001-01-01T00:00:00Z","stop":"x","outputRetention":"0s"}`)}},
		"plan-missing-progdef":  {asValid, {contract.TypeFlowPlanned, edit(planned, func(d map[string]any) { at(d, "jobs", 0)["progdef"] = "nobody" })}},
		"plan-missing-revision": {asValid, {contract.TypeFlowPlanned, edit(planned, func(d map[string]any) { at(d, "jobs", 0)["revision"] = "nothing" })}},
		"plan-no-progdefs":      {asValid, {contract.TypeFlowPlanned, edit(planned, func(d map[string]any) { d["progdefs"] = map[string]any{} })}},
		"plan-no-slots": {asValid, {contract.TypeFlowPlanned, edit(planned, func(d map[string]any) {
			for _, p := range d["progdefs"].(map[string]any) {
				at(p.(map[string]any), "document", "scaling")["jobsPerExecutor"] = 0
				p.(map[string]any)["revision"] = "111111111111"
			}
			for i := range d["jobs"].([]any) {
				at(d, "jobs", i)["revision"] = "111111111111"
			}
		})}},
		"plan-job-twice":    {asValid, {contract.TypeFlowPlanned, edit(planned, func(d map[string]any) { d["jobs"] = append(d["jobs"].([]any), d["jobs"].([]any)...) })}},
		"plan-edge-nowhere": {asValid, {contract.TypeFlowPlanned, edit(planned, func(d map[string]any) { at(d, "edges", 0)["to"] = "nobody.in"; at(d, "edges", 0)["from"] = "" })}},
		"plan-odd-job":      {asValid, {contract.TypeFlowPlanned, edit(planned, func(d map[string]any) { at(d, "jobs", 0)["job"] = "a b.>" })}},
		"plan-other-flow":   {asValid, {contract.TypeFlowPlanned, edit(planned, func(d map[string]any) { at(d, "jobs", 0)["flow"] = "a.> *" })}},
	}
	poisons["plan-other-stream"] = []step{asValid, {contract.TypeFlowPlanned, edit(planned, func(d map[string]any) { d["stream"] = "EVENTS" })}}
	for _, id := range slices.Sorted(maps.Keys(poisons)) {
		t.Run(id, func(t *testing.T) {
			var seq uint64
			for _, x := range poisons[id] {
				data := bytes.ReplaceAll(x.data, []byte("model"), []byte(id))
				seq = p.ingress(t, x.typ, id, data, "")
			}
			p.letter(t, seq)
			p.goodFlow(t)
			if len(poisons[id]) > 1 { // the flow is valid, and only its own plan counts
				completed(t, c.AwaitEnd(t, id))
				c.Await(t, "clean-up of "+id, harness.Is(contract.TypeFlowCleaned, id))
			}
		})
	}
	t.Run("by reference to missing data", func(t *testing.T) {
		for _, typ := range []contract.Type{contract.TypeFlowValidated, contract.TypeFlowPlanned, contract.TypeFlowCompleted, contract.TypeFlowCleaned} {
			p.letter(t, p.ingress(t, typ, "nothing", nil, "nats-object://data/nothing"))
		}
	})
	t.Run("about unknown things", func(t *testing.T) {
		for _, e := range []contract.Event{
			{Type: contract.TypeJobStarted, Subject: "unknown", Data: &contract.JobStarted{Job: "x", Executor: "y"}},
			{Type: contract.TypeJobDone, Subject: "unknown", Data: &contract.JobDone{Job: "x", Executor: "y"}},
			{Type: contract.TypeJobPanic, Subject: "unknown", Data: &contract.JobPanic{Job: "x", Executor: "y"}},
			{Type: contract.TypeExecutorStarted, Subject: "stray", Data: &contract.ExecutorStarted{Executor: "stray", Progdef: "sink", Revision: "000000000000"}},
			{Type: contract.TypeExecutorStarted, Subject: "lost", Data: &contract.ExecutorStarted{Executor: "lost", Progdef: "nobody", Revision: ""}},
			{Type: contract.TypeExecutorDraining, Subject: "drained", Data: &contract.ExecutorDraining{Executor: "drained", Progdef: "sink"}},
			{Type: contract.TypeExecutorExited, Subject: "left", Data: &contract.ExecutorExited{Executor: "left", Progdef: "sink"}},
			{Type: contract.TypeExecutorExited, Subject: "other", Data: &contract.ExecutorExited{Executor: "a.b > c", Progdef: "sink", Revision: "> *"}},
			{Type: contract.TypeFlowSpawned, Subject: "unknown", Data: &contract.FlowSpawned{}},
			{Type: contract.TypeFlowQueued, Subject: "unknown", Data: &contract.FlowQueued{}},
			{Type: contract.TypeFlowCleaned, Subject: "unknown", Data: &contract.FlowCleaned{Stream: "EVENTS"}},
			{Type: contract.TypeFlowCompleted, Subject: "unknown", Data: &contract.FlowCompleted{}},
			{Type: contract.TypeDeadLetter, Subject: "deadletter", Data: &contract.DeadLetter{Sequence: 1 << 60}},
			{Type: contract.TypeTick, Subject: "spawner", Data: &contract.Tick{Service: "spawner"}},
			{Type: contract.TypeTick, Subject: "no service", Data: &contract.Tick{Service: "> *"}},
		} {
			say(t, c, e)
		}
	})
	t.Run("malformed ticks and dead letters", func(t *testing.T) {
		for _, subject := range []string{"tick", "deadletter"} {
			for _, data := range []string{"", "{", "\x00", "[]", `{"specversion":"1.0"}`, strings.Repeat("x", 1<<20)} {
				send(t, c, subject, nil, []byte(data))
			}
		}
	})
	p.survives(t)
	p.AwaitNothingLeft(t, c)
}

// ingress publishes data as an event of a service.
func (p *poisoned) ingress(t *testing.T, typ contract.Type, flow string, data []byte, ref string) uint64 {
	t.Helper()
	envelope := map[string]any{
		"specversion": "1.0", "id": fmt.Sprintf("poison.%s.%s", typ, flow), "type": typ, "source": "/hostile", "subject": flow,
	}
	if data != nil {
		envelope["data"] = json.RawMessage(data)
	}
	if ref != "" {
		envelope["dataref"] = ref
	}
	body, err := json.Marshal(envelope)
	if err != nil {
		t.Fatal(err)
	}
	return send(t, p.c, "events."+string(typ)+"."+flow, nats.Header{"content-type": {"application/cloudevents+json"}}, body)
}

// Mutations of events of every type stop no service.
func TestPoisonByMutation(t *testing.T) {
	const mutations, batch = 1000, 250
	p := poison(t, harness.DefaultOptions())
	c := p.c
	c.ApplyFaulty(t, harness.Faulty{Name: "returns-error", Out: true})
	c.Submit(t, "model", words)
	c.Submit(t, "failing", alone("returns-error"))
	c.Submit(t, "bad", `{"nodes": 5}`)
	c.Cancel(t, "nothing")
	for _, flow := range []string{"model", "failing", "bad"} {
		c.AwaitEnd(t, flow)
	}
	c.Await(t, "clean-up", harness.Is(contract.TypeFlowCleaned, "model"))
	c.Await(t, "clean-up", harness.Is(contract.TypeFlowCleaned, "failing"))
	models := c.Messages()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for i := range mutations {
		m := models[r.IntN(len(models))]
		subject := m.Subject
		if area, _, _ := strings.Cut(subject, "."); area == "flow" && strings.Count(subject, ".") == 2 {
			subject = "events." + subject
		}
		// Half of them are about flows that are not yet known.
		data := mutate(r, bytes.ReplaceAll(m.Data, []byte("model"), []byte("model"[:3+r.IntN(3)])))
		if r.IntN(2) == 0 {
			subject = strings.ReplaceAll(subject, "model", "mod")
			data = bytes.ReplaceAll(data, []byte("model"), []byte("mod"))
		}
		if _, err := c.JS.PublishMsg(t.Context(), &nats.Msg{Subject: subject, Data: data, Header: nats.Header{"content-type": m.Header["content-type"]}}); err != nil {
			t.Fatalf("%s: %v", subject, err)
		}
		if i%batch == batch-1 {
			p.repair(t)
			p.goodFlow(t)
		}
	}
	p.RestartAll(t)
	p.repair(t)
	p.goodFlow(t)
}

// repair applies the progdefs again: a mutation may have been a valid change.
func (p *poisoned) repair(t *testing.T) {
	t.Helper()
	for _, f := range []harness.Faulty{{Name: "words", Out: true, Slots: 10, Max: 5}, {Name: "sink", In: true, Slots: 10, Max: 5}} {
		applied := len(p.c.Events(harness.Is(contract.TypeProgdefApplied, f.Name)))
		p.c.ApplyFaulty(t, f)
		seen := 0
		p.c.Await(t, "progdef "+f.Name, func(e contract.Event) bool {
			if e.Type == contract.TypeProgdefApplied && e.Subject == f.Name {
				seen++
			}
			return seen > applied
		})
	}
}

// mutate changes some bytes, or a value of a JSON document.
func mutate(r *rand.Rand, data []byte) []byte {
	if len(data) == 0 {
		return []byte("{}")
	}
	switch r.IntN(5) {
	case 0: // other bytes
		for range 1 + r.IntN(3) {
			data[r.IntN(len(data))] = byte(r.IntN(256))
		}
		return data
	case 1: // truncated
		return data[:r.IntN(len(data))]
	case 2: // a part is repeated
		from := r.IntN(len(data))
		to := from + r.IntN(len(data)-from)
		return slices.Concat(data[:to], data[from:])
	}
	var v any
	if json.Unmarshal(data, &v) != nil {
		return data
	}
	for range 1 + r.IntN(3) {
		v = mutateValue(r, v)
	}
	out, err := json.Marshal(v)
	if err != nil {
		return data
	}
	return out
}

// mutateValue changes one value inside a JSON value.
func mutateValue(r *rand.Rand, v any) any {
	if r.IntN(8) == 0 {
		return []any{nil, "", "> *", -1.0, 1e300, map[string]any{}, []any{}, true, "nobody.in", "0s"}[r.IntN(10)]
	}
	switch v := v.(type) {
	case map[string]any:
		keys := slices.Sorted(maps.Keys(v))
		if len(keys) == 0 {
			return v
		}
		key := keys[r.IntN(len(keys))]
		switch r.IntN(8) {
		case 0:
			delete(v, key)
		case 1:
			v["nobody"] = v[key]
		default:
			v[key] = mutateValue(r, v[key])
		}
	case []any:
		if len(v) > 0 {
			i := r.IntN(len(v))
			v[i] = mutateValue(r, v[i])
		}
	}
	return v
}
