package local

import (
	"errors"
	"testing"
	"time"
)

func TestPatienceLastsWhileABacklogShrinks(t *testing.T) {
	begin := time.Unix(1000, 0)
	p := patience{limit: time.Minute, since: begin}
	backlog := uint64(1000)
	look := func() (uint64, error) { return backlog, nil }
	for now := begin; now.Before(begin.Add(10 * time.Minute)); now = now.Add(30 * time.Second) {
		if p.over(now, look) {
			t.Fatalf("over after %v, while the backlog shrinks", now.Sub(begin))
		}
		backlog--
	}
	stuck := begin.Add(10 * time.Minute)
	backlog++
	if p.over(stuck, look) {
		t.Error("over at once")
	}
	if !p.over(stuck.Add(time.Minute), func() (uint64, error) { return 0, errors.New("away") }) {
		t.Error("not over although nothing has moved for the limit")
	}
}
