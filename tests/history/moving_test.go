package history

import (
	"context"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/history"
)

// memory keeps flows until they are stored, as the panic-aggregator does.
type memory struct {
	mu    sync.Mutex
	flows map[string]contract.FlowStatus
	upto  map[string]uint64 // of the append that stores them
}

// all yields the flows under the lock.
func (m *memory) all(yield func(contract.FlowStatus) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.flows {
		if !yield(s) {
			return
		}
	}
}

// forget drops stored flows.
func (m *memory) forget(upto uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.DeleteFunc(m.flows, func(id string, _ contract.FlowStatus) bool {
		return m.upto[id] != 0 && m.upto[id] <= upto
	})
}

func (m *memory) storing(records []contract.FlowStatus, upto uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range records {
		m.upto[s.Flow] = upto
	}
}

// However often flows move from memory to history while they are listed, every list contains each flow once, and each
// flow can always be found.
func TestListsWhileFlowsAreStored(t *testing.T) {
	const flows, each = 300, 10
	b := setup(t, history.DefaultLimits(), 0)
	m := &memory{flows: make(map[string]contract.FlowStatus), upto: make(map[string]uint64)}
	for _, s := range records(0, flows) {
		m.flows[s.Flow] = s
	}
	x := history.NewIndex(b.link.JS, m.forget)
	ctx, cancel := context.WithCancel(b.ctx)
	var wg sync.WaitGroup
	wg.Go(func() { _ = x.Run(ctx) })
	defer wg.Wait()
	defer cancel()
	stored := make(chan struct{})
	wg.Go(func() {
		defer close(stored)
		w := history.NewWriter(b.link)
		for i := 0; i < flows; i += each {
			batch := records(i, i+each)
			m.storing(batch, uint64(i+1))
			if err := w.Append(b.ctx, batch, uint64(i+1)); err != nil {
				t.Error(err)
			}
		}
	})
	for ended := false; !ended; {
		select {
		case <-stored:
			ended = true
		default:
		}
		listsAll(t, x, m, flows)
		finds(t, x, m, id(0), id(flows/2), id(flows-1))
	}
}

func listsAll(t *testing.T, x *history.Index, m *memory, flows int) {
	t.Helper()
	var ids []string
	for q := (contract.FlowQuery{Limit: 40}); ; {
		p, err := x.Page(t.Context(), q, m.all, history.DefaultBudget())
		if err != nil || len(p.Problems) > 0 {
			t.Fatal(p.Problems, err)
		}
		for _, l := range p.Flows {
			ids = append(ids, l.Flow)
		}
		if q.After = p.Next; q.After == "" {
			break
		}
	}
	slices.Sort(ids)
	if n := len(slices.Compact(slices.Clone(ids))); n != flows || len(ids) != flows {
		t.Fatalf("a list has %d flows, %d different ones", len(ids), n)
	}
}

// finds looks up flows in memory and then in history, like the answer to a question.
func finds(t *testing.T, x *history.Index, m *memory, ids ...string) {
	t.Helper()
	for _, flow := range ids {
		m.mu.Lock()
		_, current := m.flows[flow]
		m.mu.Unlock()
		if current {
			continue
		}
		if _, ok, err := x.Get(t.Context(), flow); !ok || err != nil {
			t.Fatalf("%s is in neither: %v", flow, err)
		}
	}
}
