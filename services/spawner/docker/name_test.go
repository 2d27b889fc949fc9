package docker

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestNames(t *testing.T) {
	at := time.Date(2026, 1, 31, 23, 59, 59, 7e6, time.FixedZone("", 3600))
	own := name{place: "dagyo", executor: "greet-1a2b3c4d-1"}
	for text, n := range map[string]name{
		"dagyo.greet-1a2b3c4d-1":                                     own,
		"dagyo.greet-1a2b3c4d-1.draining-until-20260131T225959.007Z": own.is(draining, at),
		"dagyo.greet-1a2b3c4d-1.killed-at-20260131T225959.007Z":      own.is(givenUp, at),
		"dagyo.greet-1a2b3c4d-1.abandoned":                           own.is(abandoned, time.Time{}),
	} {
		if got := n.String(); got != text {
			t.Errorf("name is %q, want %q", got, text)
		}
		for _, said := range []string{text, "/" + text} {
			if got := parseName(n.place, n.executor, said); got.String() != text || !got.at.Equal(n.at) {
				t.Errorf("%q is parsed as %v", said, got)
			}
		}
	}
}

func TestOddNamesCarryNoPhase(t *testing.T) {
	for _, odd := range []string{
		"", "/", "thirsty_hopper", "other.e", "dagyo.e.", "dagyo.e.draining-until", "dagyo.e.draining-until-",
		"dagyo.e.draining-until-soon", "dagyo.e.killed-at-20260131T225959.007", "dagyo.e.serving",
		"dagyo.e.abandoned-20260131T225959.007Z",
	} {
		if got := parseName("dagyo", "e", odd); got.phase != serving || !got.at.IsZero() {
			t.Errorf("%q is parsed as %+v", odd, got)
		}
	}
}

func TestNamesAreParsedAsFormatted(t *testing.T) {
	id := rapid.StringMatching(`[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?`)
	rapid.Check(t, func(t *rapid.T) {
		n := name{place: id.Draw(t, "place"), executor: id.Draw(t, "executor")}
		p := rapid.SampledFrom([]phase{serving, asked, draining, givenUp, abandoned}).Draw(t, "phase")
		var at time.Time
		if p == draining || p == givenUp {
			at = time.UnixMilli(rapid.Int64Range(0, 1<<42).Draw(t, "at"))
		}
		n = n.is(p, at)
		if got := parseName(n.place, n.executor, n.String()); got.String() != n.String() || !got.at.Equal(at) {
			t.Errorf("%v is parsed as %v", n, got)
		}
	})
}
