package history

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/history"
)

// searchSegment is the number of flows that the panic-aggregator stores at once.
const searchSegment = 256

// BenchmarkSearch searches a million varied flows, each time for something else, and reports quantiles of the time until
// the search is complete or has filled its first page, and the CPU time of this process, with the server. Run it with
// -benchtime 40x.
func BenchmarkSearch(b *testing.B) {
	s := setup(b, history.Limits{MaxFlows: -1, MaxBytes: -1}, 0)
	w := history.NewWriter(s.link)
	disk, stored := s.fillVaried(w)
	s.loaded() // the server caches what it reads
	before := heap()
	x := s.loaded()
	memory := heap() - before
	b.Run("index", func(b *testing.B) {
		began := cpu(b)
		for b.Loop() {
			s.loaded()
		}
		b.ReportMetric(float64((cpu(b)-began).Milliseconds())/float64(b.N), "cpu-ms")
		b.ReportMetric(disk, "disk-B/flow")
		b.ReportMetric(float64(memory)/benchFlows, "heap-B/flow")
		b.ReportMetric(float64(stored.Microseconds())/1e3, "append-ms")
	})
	r := rand.New(rand.NewPCG(1, 2))
	for _, c := range searches(r) {
		b.Run(c.name, func(b *testing.B) {
			var all []time.Duration
			pages, flows := 0, 0
			before := cpu(b)
			for b.Loop() {
				q := c.query()
				began := time.Now()
				n, f := firstPage(b, x, q)
				all, pages, flows = append(all, time.Since(began)), pages+n, flows+f
			}
			b.ReportMetric(float64((cpu(b)-before).Microseconds())/1e3/float64(len(all)), "cpu-ms")
			slices.Sort(all)
			ms := func(quantile float64) float64 {
				return all[int(quantile*float64(len(all)-1))].Seconds() * 1e3
			}
			b.ReportMetric(ms(0.5), "p50-ms")
			b.ReportMetric(ms(0.95), "p95-ms")
			b.ReportMetric(float64(flows)/float64(len(all)), "flows")
			b.ReportMetric(float64(pages)/float64(len(all)), "pages")
		})
	}
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		b.Logf("load averages: %s", load)
	}
}

// fillVaried appends varied flows in the order of their ends, and returns the bytes per flow on disk and how long an
// append takes.
func (s *bundle) fillVaried(w *history.Writer) (disk float64, each time.Duration) {
	upto := uint64(0)
	for i := 0; i < benchFlows; i += searchSegment {
		var records []contract.FlowStatus
		for n := i; n < min(i+searchSegment, benchFlows); n++ {
			records = append(records, varied(n))
		}
		slices.SortFunc(records, func(a, b contract.FlowStatus) int { return a.Updated.Compare(b.Updated) })
		upto++
		began := time.Now()
		s.append(w, records, upto)
		each += time.Since(began)
	}
	stream, err := s.link.JS.Stream(s.ctx, contract.StreamHistory)
	if err != nil {
		s.t.Fatal(err)
	}
	return float64(stream.CachedInfo().State.Bytes) / benchFlows, each / time.Duration(upto)
}

// firstPage requests pages until there are as many flows as fit into one, or no more.
func firstPage(t testing.TB, x *history.Index, q contract.FlowQuery) (pages, flows int) {
	q.Limit = history.DefaultLimit
	for {
		p, err := x.Page(t.Context(), q, nothing, history.DefaultBudget())
		if err != nil || len(p.Problems) > 0 {
			t.Fatal(p.Problems, err)
		}
		pages, flows = pages+1, flows+len(p.Flows)
		if q.After = p.Next; q.After == "" || flows >= q.Limit {
			return pages, flows
		}
		q.Limit -= len(p.Flows)
	}
}

// A search makes queries of one kind.
type search struct {
	name  string
	query func() contract.FlowQuery
}

func searches(r *rand.Rand) []search {
	text := func(f func() string) func() contract.FlowQuery {
		return func() contract.FlowQuery { return contract.FlowQuery{Text: f()} }
	}
	w := func() string { return word(skewed(r, variedWords)) }
	one := func(of ...string) string { return of[r.IntN(len(of))] }
	panics := []contract.Type{contract.TypeFlowPanic}
	newest := sample(benchFlows - 1).Submitted
	return []search{
		{"rare text", text(func() string { return one(rareText, "flux", "capacitor is") })},
		{"text nowhere", text(func() string { return fmt.Sprint("no such thing ", r.IntN(1000)) })},
		{"word nowhere", text(func() string { return w() + "zz" })},
		{"words never together", text(func() string {
			return one("permission refused", "CUDA failed", "exit connection", "timeout is missing", "record memory")
		})},
		{"common beginning", text(func() string { return "permission denied: " + w() + " may not read " + w() })},
		{"mistyped id", text(func() string {
			id := []byte(variedID(r.IntN(benchFlows)))
			id[len(id)-1-r.IntN(6)] = "qzxw"[r.IntN(4)]
			return string(id)
		})},
		{"part of an id", text(func() string { id := variedID(r.IntN(benchFlows)); return id[:len(id)-3] })},
		{"common text", text(func() string { return one("exit code", "flow-", "timeout", "KeyError") })},
		{"rare user", func() contract.FlowQuery { return contract.FlowQuery{User: rareUser} }},
		{"unknown user", func() contract.FlowQuery { return contract.FlowQuery{User: w() + "x"} }},
		{"user", func() contract.FlowQuery { return contract.FlowQuery{User: variedUser(r.IntN(variedUsers))} }},
		{"rare user and text", func() contract.FlowQuery { return contract.FlowQuery{User: rareUser, Text: "exit code"} }},
		{"user and panics", func() contract.FlowQuery {
			return contract.FlowQuery{User: variedUser(r.IntN(variedUsers)), States: panics}
		}},
		{"progdef that seldom panics", func() contract.FlowQuery { return contract.FlowQuery{Progdef: rareProgdef, States: panics} }},
		{"progdef", func() contract.FlowQuery { return contract.FlowQuery{Progdef: variedProgdef(r.IntN(variedProgdefs))} }},
		{"panics", func() contract.FlowQuery { return contract.FlowQuery{States: panics} }},
		{"a second long ago", func() contract.FlowQuery {
			since := newest.Add(-time.Duration(r.Int64N(int64(2 * time.Hour))))
			return contract.FlowQuery{Since: since, Until: since.Add(time.Second)}
		}},
	}
}

// cpu returns the CPU time of this process.
func cpu(t testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
