package std

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestNamesCoverTheAlphabet(t *testing.T) {
	var letters strings.Builder
	for _, n := range names() {
		letters.WriteByte(n[0])
	}
	if got := letters.String(); got != "ABCDEFGHIJKLMNOPQRSTUVWXYZ" {
		t.Errorf("the names begin with %s", got)
	}
}

func collect(limit int) (p *pairer, sent *[]string) {
	sent = new([]string)
	return &pairer{limit: limit, send: func(_ context.Context, pair string) error {
		*sent = append(*sent, pair)
		return nil
	}}, sent
}

func TestPairsAreSentOnceBothAreKnown(t *testing.T) {
	p, sent := collect(100)
	steps := []struct {
		add  func(context.Context, string) error
		v    string
		want []string
	}{
		{p.addA, "a1", nil},
		{p.addB, "b1", []string{"a1 b1"}},
		{p.addB, "b2", []string{"a1 b2"}},
		{p.addA, "a2", []string{"a2 b1", "a2 b2"}},
	}
	for _, s := range steps {
		*sent = nil
		if err := s.add(t.Context(), s.v); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(*sent, s.want) {
			t.Errorf("after %s: sent %q, want %q", s.v, *sent, s.want)
		}
	}
}

func TestEveryPairOnceWhenBothSidesRace(t *testing.T) {
	p, sent := collect(ProductLimit)
	var sides sync.WaitGroup
	for _, add := range []func(context.Context, string) error{p.addA, p.addB} {
		sides.Go(func() {
			for _, n := range names() {
				if err := add(t.Context(), n); err != nil {
					t.Error(err)
				}
			}
		})
	}
	sides.Wait()
	slices.Sort(*sent)
	if got := len(slices.Compact(*sent)); got != 26*26 {
		t.Errorf("sent %d different pairs, %d in total; want %d", got, len(*sent), 26*26)
	}
}

func TestProductRefusesMoreThanItsLimit(t *testing.T) {
	p, _ := collect(4)
	if err := p.addA(t.Context(), "abcd"); err != nil {
		t.Errorf("at the limit: %v", err)
	}
	if err := p.addB(t.Context(), "e"); err == nil || !strings.Contains(err.Error(), "4 bytes") {
		t.Errorf("beyond the limit: %v", err)
	}
}

func TestProductStopsWhenItCannotSend(t *testing.T) {
	gone := errors.New("gone")
	p := &pairer{limit: 100, send: func(context.Context, string) error { return gone }}
	if err := p.addA(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if err := p.addB(t.Context(), "b"); !errors.Is(err, gone) {
		t.Errorf("got %v", err)
	}
}
