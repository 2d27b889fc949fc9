package history

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
)

// sample is the status of the i-th of many ended flows: four jobs in a row, one flow in ten fails.
func sample(i int) contract.FlowStatus {
	r := rand.New(rand.NewPCG(uint64(i), 1))
	at := time.Unix(1_790_000_000, 0).UTC().Add(time.Duration(i)*10*time.Millisecond + time.Duration(r.IntN(1e7)))
	took := time.Duration(r.IntN(30_000_000_000))
	s := contract.FlowStatus{
		Flow: fmt.Sprintf("orders-%08x", r.Uint32()), Phase: contract.TypeFlowCleaned,
		Verdict: contract.TypeFlowCompleted, Submitted: at, Updated: at.Add(took),
		Deadline: at.Add(24 * time.Hour), Duration: document.Duration(took),
		Jobs: make(map[string]contract.JobStatus),
	}
	names := []string{"read_orders", "parse", "score", "write"}
	records := r.Int64N(100_000)
	for n, name := range names {
		rows := contract.Count{Records: records, Bytes: records * r.Int64N(300)}
		count := map[string]contract.Count{"rows": rows}
		j := contract.JobStatus{
			Progdef: name, Revision: "0123456789abcde" + name[:1],
			JobSummary: contract.JobSummary{State: contract.JobEnded, Executor: fmt.Sprintf("%s-%06x", name, r.Uint32N(1<<24))},
		}
		if n > 0 {
			j.Inputs = count
			s.Edges = append(s.Edges, contract.EdgeCount{
				From: names[n-1] + ".rows", To: name + ".rows", Sent: &rows, Received: &rows,
			})
		}
		if n < len(names)-1 {
			j.Outputs = count
		}
		s.Jobs[name] = j
	}
	if i%10 == 3 {
		s.Verdict = contract.TypeFlowPanic
		s.Failures = []contract.JobFailure{{Job: "score", Progdef: "score", Failure: contract.Failure{
			Kind: contract.KindCrash, Message: fmt.Sprintf("exit code %d", r.IntN(100)),
			Detail: "Traceback (most recent call last):\n  File \"score.py\", line 12\nValueError: not a number",
		}}}
	}
	return s
}
