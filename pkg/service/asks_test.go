package service

import (
	"errors"
	"testing"

	"github.com/rs/zerolog"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/service/core"
)

// A question that makes the service panic is answered, and the state is free for others.
func TestAQuestionPanics(t *testing.T) {
	r := &Runtime[int]{core: &core.Core[int]{State: 7}, log: zerolog.Nop()}
	_, err := r.answer(t.Context(), contract.Sender{}, func(int, []byte) (any, error) { panic("no") }, nil)
	var refused *AskError
	if !errors.As(err, &refused) || refused.Code != "500" {
		t.Errorf("got %v", err)
	}
	if !r.mu.TryLock() {
		t.Fatal("the state is locked")
	}
	r.mu.Unlock()
	answer, err := r.answer(t.Context(), contract.Sender{}, func(s int, _ []byte) (any, error) { return s, nil }, nil)
	if answer != 7 || err != nil {
		t.Errorf("got %v, %v", answer, err)
	}
}
