package aggregator

import (
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
)

// reports writes the wired panics of the jobs that have ended: of the one whose end was just told while
// the run goes on, of all when it ends. Where it has been said already, it is not said again.
func (s State) reports(flow string, r *run, ended string, now time.Time) []contract.Event {
	ends := r.ends(now)
	last := ends && s.over(r, now)
	var out []contract.Event
	for _, name := range slices.Sorted(maps.Keys(r.panics)) {
		j := r.jobs[name]
		if j == nil || name != ended && !(ends && j.State != contract.JobRunning) && !last {
			continue
		}
		out = append(out, contract.Event{
			Type: actReport, Subject: flow, MsgID: "report." + flow + "." + name,
			Data: &Report{name, j.failure}, With: r.panics[name],
		})
	}
	return out
}

// record is the report as it stands on the edge; nil where there is only an end.
func (d *Report) record() ([]byte, error) {
	if d.Failure == nil {
		return nil, nil
	}
	return json.Marshal(d.Failure)
}

// reported counts what was written of the job.
func (j *job) reported() contract.Count {
	record, err := (&Report{Failure: j.failure}).record()
	if err != nil || record == nil {
		return contract.Count{}
	}
	return contract.Count{Records: 1, Bytes: int64(len(record))}
}

// reporting reports whether a run that failed still waits for its reporting jobs.
func (s State) reporting(r *run, now time.Time) bool {
	if r.cancel != nil || len(r.failures) == 0 || r.reporters() == 0 {
		return false
	}
	return r.ending.IsZero() || now.Sub(r.ending) < s.limits.Report
}

// reporters counts the reporting jobs that have not ended.
func (r *run) reporters() int {
	n := 0
	for _, j := range r.jobs {
		if j.reporting && !j.ended() {
			n++
		}
	}
	return n
}

func (r *run) reportersRunning() bool {
	for _, j := range r.jobs {
		if j.reporting && j.State == contract.JobRunning {
			return true
		}
	}
	return false
}
