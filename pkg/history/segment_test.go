package history

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/problem"
)

func samples(n int) []contract.FlowStatus {
	out := make([]contract.FlowStatus, n)
	for i := range out {
		out[i] = sample(i)
	}
	return out
}

// unpack reads all records in the messages.
func unpack(t *testing.T, messages []*nats.Msg) (out []contract.FlowStatus) {
	t.Helper()
	o := newOpener()
	for _, m := range messages {
		lines, err := o.open(m.Header, m.Data)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range lines {
			s, err := decode(line)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, s)
		}
	}
	return out
}

func TestPackAndUnpack(t *testing.T) {
	for _, n := range []int{1, 2, recordsLimit, recordsLimit + 1, 3*recordsLimit + 7} {
		for _, limit := range []int{16 << 10, 256 << 10, 4 << 20} {
			want := samples(n)
			messages, err := newPacker().pack(want, 77, limit)
			if err != nil {
				t.Fatal(err)
			}
			if got := unpack(t, messages); !reflect.DeepEqual(got, want) {
				t.Errorf("%d records in messages of %d bytes are not the same", n, limit)
			}
			for i, m := range messages {
				s, err := parseSummary(m.Header)
				if err != nil || s.upto != 77 || s.more != (i < len(messages)-1) || m.Size() > limit {
					t.Errorf("message %d of %d has %d bytes: %+v, %v", i, len(messages), m.Size(), s, err)
				}
			}
		}
	}
}

// noise is text that hardly compresses.
func noise(seed, n int) string {
	r := rand.New(rand.NewPCG(uint64(seed), 2))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('!' + r.IntN(90))
	}
	return string(b)
}

func TestTooLargeRecordsLoseDetails(t *testing.T) {
	jobs := sample(0)
	for i := range 2000 {
		jobs.Jobs[fmt.Sprint(i)] = contract.JobStatus{Progdef: noise(i, 60)}
	}
	failures := sample(3)
	for i := range 100 {
		failures.Failures = append(failures.Failures, contract.JobFailure{Failure: contract.Failure{Detail: noise(i, 8000)}})
	}
	huge := sample(4)
	huge.Problems = problem.List{{Message: noise(0, 5<<20)}}
	never := sample(5)
	never.Submitted = time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)
	messages, err := newPacker().pack([]contract.FlowStatus{sample(1), jobs, failures, huge, never}, 1, 64<<10)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range unpack(t, messages) {
		got = append(got, s.Omitted)
		if s.Flow == "" || s.Verdict == "" {
			t.Errorf("too little is left: %+v", s)
		}
	}
	want := []string{"", withoutJobs, withoutFailures, bare, timeless}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("omitted are %q", got)
	}
}

func TestAnswersFitIntoAMessage(t *testing.T) {
	s := sample(0)
	if got, err := Fit(s, 64<<10); err != nil || !reflect.DeepEqual(got, s) {
		t.Errorf("a small status: %v, %+v", err, got)
	}
	for i := range 2000 {
		s.Jobs[fmt.Sprint(i)] = contract.JobStatus{Progdef: "compresses_well"}
	}
	if got, err := Fit(s, 64<<10); err != nil || got.Omitted != withoutJobs {
		t.Errorf("a large status: %v, %+v", err, got)
	}
	if _, err := Fit(s, 10); err == nil {
		t.Error("10 bytes were enough")
	}
}

func TestFilterHasNoFalseNegatives(t *testing.T) {
	const others = 200_000
	for _, ids := range []int{1, 5, 10, 100, recordsLimit} {
		f := newFilter(ids)
		for i := range ids {
			f.add(hashID(fmt.Sprint("flow-", i)))
		}
		wrong := 0
		for i := range ids + others {
			held := f.mayHold(hashID(fmt.Sprint("flow-", i)))
			if i < ids && !held {
				t.Fatalf("flow-%d is missing", i)
			}
			if i >= ids && held {
				wrong++
			}
		}
		if wrong > others/10_000 {
			t.Errorf("%d of %d other ids seem to be among %d", wrong, others, ids)
		}
	}
}

// The hash of an id is part of the format.
func TestHashIsStable(t *testing.T) {
	if got := hashID("flow"); got != (idHash{0x3b21278178ed3463, 0xf3bde3a35f088caf}) {
		t.Errorf("%#x", got)
	}
}

func TestDamageIsDetected(t *testing.T) {
	messages, err := newPacker().pack(samples(10), 1, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	o := newOpener()
	for name, damage := range map[string]func(m *nats.Msg){
		"a bit of the body":        func(m *nats.Msg) { m.Data[len(m.Data)/2] ^= 1 },
		"the end of the body":      func(m *nats.Msg) { m.Data = m.Data[:len(m.Data)-1] },
		"a later version":          func(m *nats.Msg) { m.Header.Set(headerVersion, "2") },
		"a wrong count":            func(m *nats.Msg) { m.Header.Set(headerRecords, "11") },
		"no upto":                  func(m *nats.Msg) { m.Header.Del(headerUpto) },
		"half a filter":            func(m *nats.Msg) { m.Header.Set(headerFlows, "AAAA") },
		"a body that is too large": func(m *nats.Msg) { bomb(m) },
	} {
		m := nats.NewMsg("")
		m.Data = append([]byte{}, messages[0].Data...)
		for k, v := range messages[0].Header {
			m.Header[k] = append([]string{}, v...)
		}
		if damage(m); m.Header != nil {
			if _, err := o.open(m.Header, m.Data); err == nil {
				t.Errorf("%s is not detected", name)
			}
		}
	}
}

// bomb returns a small body that decompresses to a much larger text.
func bomb(m *nats.Msg) {
	m.Data = newPacker().zstd.EncodeAll([]byte(strings.Repeat(" ", 64<<20)), nil)
	m.Header.Set(headerDigest, digest(m.Data))
}

func FuzzOpen(f *testing.F) {
	messages, err := newPacker().pack(samples(3), 9, 1<<20)
	if err != nil {
		f.Fatal(err)
	}
	m := messages[0]
	f.Add("3", m.Header.Get(headerSubmitted), m.Header.Get(headerFlows), m.Data)
	f.Add("-1", "/", "", []byte("x"))
	o := newOpener()
	f.Fuzz(func(t *testing.T, records, submitted, flows string, body []byte) {
		h := nats.Header{}
		for k := range m.Header {
			h.Set(k, m.Header.Get(k))
		}
		h.Set(headerRecords, records)
		h.Set(headerSubmitted, submitted)
		h.Set(headerFlows, flows)
		h.Set(headerDigest, digest(body)) // otherwise nothing else is checked
		lines, err := o.open(h, body)
		if err != nil {
			return
		}
		if len(lines) > recordsLimit {
			t.Errorf("%d lines", len(lines))
		}
		for _, line := range lines {
			if s, err := decode(line); err == nil {
				_ = Line(s)
			}
		}
	})
}

func FuzzParseQuery(f *testing.F) {
	f.Add([]byte(`{"live": true, "states": ["flow.panic"], "limit": 3, "after": "e30"}`))
	f.Add([]byte(``))
	f.Fuzz(func(t *testing.T, body []byte) {
		q, err := ParseQuery(body)
		if err != nil {
			return
		}
		again, err := json.Marshal(q)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseQuery(again); err != nil {
			t.Errorf("%s: %v", again, err)
		}
	})
}

// Measures the memory of the index: one operation is a segment of 512 flows.
func BenchmarkIndex(b *testing.B) {
	messages, err := newPacker().pack(samples(recordsLimit), 1, 1<<20)
	if err != nil {
		b.Fatal(err)
	}
	x := NewIndex(nil, nil)
	before := heap()
	for b.Loop() {
		x.add(uint64(len(x.entries)+1), messages[0].Header)
	}
	b.ReportMetric(float64(heap()-before)/float64(x.Flows()), "B/flow")
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
