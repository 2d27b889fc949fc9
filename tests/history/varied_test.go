package history

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/problem"
)

// Varied flows: random ids of three forms, 200 users, 38 progdefs in 60 combinations, and messages from a vocabulary of
// 3,000 words; a few occur more often than the rest. One flow in a hundred takes up to a day.
const (
	variedWords     = 3000
	variedUsers     = 200
	variedProgdefs  = 38
	variedPipelines = 60
)

// The needles in the haystack.
const (
	rareUser    = "zoe"
	rareText    = "the flux capacitor is empty"
	rareProgdef = "seldom-fails" // of one flow in 40, and it panics only with rareText
)

// isRare reports which needle the i-th flow is. There are few of each, also in shorter histories.
func isRare(i int) (user, text bool) { return i%200_000 == 777, i%400_000 == 1111 }

var syllables = strings.Fields("ka lo mi re tan ver sol dis pro con ter ma ne qui ra sto un vel wo xi za ber cor del fin gra")

func word(n int) string {
	r := rand.New(rand.NewPCG(uint64(n), 7))
	var b strings.Builder
	for range 2 + r.IntN(3) {
		b.WriteString(syllables[r.IntN(len(syllables))])
	}
	return b.String()
}

// skewed is a number below n; low ones are more likely.
func skewed(r *rand.Rand, n int) int { return int(float64(n) * r.Float64() * r.Float64()) }

func variedProgdef(n int) string { return word(n) + "_" + word(n+500) }

func variedUser(n int) string { return word(1000 + n) }

// variedID is the id of a flow as the gateway makes it, with a name of its own, or a UUID.
func variedID(i int) string {
	r := rand.New(rand.NewPCG(uint64(i), 3))
	switch n := r.IntN(100); {
	case n < 60:
		const alphabet = "abcdefghijklmnopqrstuvwxyz234567"
		id := []byte("flow-")
		for range 8 {
			id = append(id, alphabet[r.IntN(len(alphabet))])
		}
		return string(id)
	case n < 85:
		return fmt.Sprintf("%s-%08x", word(r.IntN(60)), r.Uint32())
	default:
		return fmt.Sprintf("%08x-%04x-4%03x-%04x-%012x", r.Uint32(), r.IntN(1<<16), r.IntN(1<<12), 1<<15+r.IntN(1<<14), r.Int64N(1<<48))
	}
}

func variedMessage(r *rand.Rand) string {
	w := func() string { return word(skewed(r, variedWords)) }
	switch r.IntN(10) {
	case 0:
		return fmt.Sprintf("exit code %d", r.IntN(256))
	case 1:
		return fmt.Sprintf("cannot open /data/%s/%08x.parquet: no such file or directory", w(), r.Uint32())
	case 2:
		return fmt.Sprintf("connection to %s.example:443 failed: connection refused", w())
	case 3:
		return fmt.Sprintf("record %d: field %s is missing", r.IntN(100_000), w())
	case 4:
		return fmt.Sprintf("CUDA out of memory: tried to allocate %d MiB", r.IntN(40_000))
	case 5:
		return fmt.Sprintf("timeout after %d s while waiting for %s", r.IntN(600), w())
	case 6:
		return fmt.Sprintf("permission denied: %s may not read %s", w(), w())
	case 7:
		return fmt.Sprintf("ValueError: could not convert string to float: '%s'", w())
	case 8:
		return fmt.Sprintf("KeyError: '%s'", w())
	default:
		return fmt.Sprintf("schema of %s does not match: expected %s, got %s", w(), w(), w())
	}
}

// varied is the status of the i-th of many different ended flows.
func varied(i int) contract.FlowStatus {
	r := rand.New(rand.NewPCG(uint64(i), 1))
	s := sample(i)
	s.Flow, s.Owner = variedID(i), variedUser(skewed(r, variedUsers))
	if r.IntN(100) == 0 {
		s.Submitted = s.Submitted.Add(-time.Duration(r.Int64N(int64(24 * time.Hour))))
		s.Duration = document.Duration(s.Updated.Sub(s.Submitted))
	}
	pipeline := rand.New(rand.NewPCG(uint64(skewed(r, variedPipelines)), 5))
	for name, j := range s.Jobs {
		j.Progdef = variedProgdef(pipeline.IntN(variedProgdefs))
		s.Jobs[name] = j
	}
	if j := s.Jobs["score"]; r.IntN(5) == 0 {
		j.Progdef = variedProgdef(r.IntN(variedProgdefs))
		s.Jobs["score"] = j
	}
	ended(&s, r)
	user, text := isRare(i)
	if user {
		s.Owner = rareUser
	}
	if j := s.Jobs["parse"]; text || i%40 == 7 && s.Verdict == contract.TypeFlowCompleted {
		j.Progdef = rareProgdef
		s.Jobs["parse"] = j
	}
	if text {
		failed(&s, rareText)
	}
	return s
}

// ended gives a flow its verdict: most are completed.
func ended(s *contract.FlowStatus, r *rand.Rand) {
	s.Verdict, s.Failures = contract.TypeFlowCompleted, nil
	switch n := r.IntN(100); {
	case n < 10:
		failed(s, variedMessage(r))
	case n < 13:
		s.Verdict, s.Reason = contract.TypeFlowCancelled, "no longer needed: "+word(r.IntN(variedWords))+" "+word(r.IntN(variedWords))
	case n < 16:
		s.Verdict, s.Problems = contract.TypeFlowRejected, problem.List{{Code: "unknown-progdef", Message: variedMessage(r)}}
	}
}

func failed(s *contract.FlowStatus, message string) {
	s.Verdict = contract.TypeFlowPanic
	s.Failures = []contract.JobFailure{{Job: "score", Progdef: s.Jobs["score"].Progdef, Failure: contract.Failure{
		Kind: contract.KindError, Message: message, Detail: "Traceback (most recent call last):\n  File \"score.py\", line 12",
	}}}
}
