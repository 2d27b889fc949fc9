package history

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/history"
)

// benchFlows is the size of the history: a million flows, 512 per segment.
const (
	benchFlows   = 1_000_000
	benchSegment = 512
)

// The benchmarks share a filled history, since filling takes longest. Run them with -benchtime 20x.
func BenchmarkHistory(b *testing.B) {
	s := setup(b, history.Limits{MaxFlows: -1, MaxBytes: -1}, 0)
	w := history.NewWriter(s.link)
	filled, disk := s.fill(w)
	x := s.loaded()
	b.Run("append/512", func(b *testing.B) {
		next := records(0, benchSegment)
		for i := uint64(0); b.Loop(); i++ {
			s.append(w, next, filled+i+1)
		}
	})
	b.Run("load", func(b *testing.B) {
		for b.Loop() {
			s.loaded()
		}
		b.ReportMetric(disk, "disk-B/flow")
	})
	b.Run("get", func(b *testing.B) { s.get(b, x, true) })
	b.Run("get/unknown", func(b *testing.B) { s.get(b, x, false) })
	newest := sample(benchFlows - 1).Submitted
	for name, q := range map[string]contract.FlowQuery{
		"newest":  {},
		"panics":  {States: []contract.Type{contract.TypeFlowPanic}},
		"old":     {Until: newest.Add(-time.Hour)},
		"nowhere": {Text: "no such thing"},
	} {
		b.Run("page/"+name, func(b *testing.B) { s.page(b, q) })
	}
	b.Run("search all", func(b *testing.B) {
		for b.Loop() {
			list(b, x, contract.FlowQuery{Text: "no such thing"})
		}
	})
}

// fill appends all flows, and returns the last upto and the disk space per flow.
func (s *bundle) fill(w *history.Writer) (upto uint64, disk float64) {
	for i := 0; i < benchFlows; i += benchSegment {
		upto++
		s.append(w, records(i, min(i+benchSegment, benchFlows)), upto)
	}
	stream, err := s.link.JS.Stream(s.ctx, contract.StreamHistory)
	if err != nil {
		s.t.Fatal(err)
	}
	return upto, float64(stream.CachedInfo().State.Bytes) / benchFlows
}

// loaded fills an index and stops following.
func (s *bundle) loaded() *history.Index {
	ctx, cancel := context.WithCancel(s.ctx)
	x := history.NewIndex(s.link.JS, nil)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := x.Run(ctx); err != nil {
			s.t.Error(err)
		}
	})
	<-x.Loaded()
	cancel()
	wg.Wait()
	return x
}

// get reads flows throughout history, without the help of a cache.
func (s *bundle) get(b *testing.B, x *history.Index, known bool) {
	i := 0
	for b.Loop() {
		i = (i + 7919*benchSegment/2) % (benchFlows / 2)
		flow := id(i)
		if !known {
			flow = fmt.Sprint("unknown-", i)
		}
		if _, ok, err := x.Get(s.ctx, flow); ok != known || err != nil {
			b.Fatal(ok, err)
		}
	}
}

// page requests the first page, each time with an empty cache.
func (s *bundle) page(b *testing.B, q contract.FlowQuery) {
	for b.Loop() {
		b.StopTimer()
		x := s.loaded()
		b.StartTimer()
		p, err := x.Page(s.ctx, q, nothing, history.DefaultBudget())
		if err != nil || len(p.Problems) > 0 {
			b.Fatal(p, err)
		}
	}
}
