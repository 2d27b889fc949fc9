package aggregator

import (
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
)

// reports returns the effects that write the wired panics of ended jobs, or of all jobs the last time. A panic is
// written once.
func (r *run) reports(flow string, last bool) (out []contract.Event) {
	for _, name := range slices.Sorted(maps.Keys(r.Panics)) {
		j := r.Jobs[name]
		if j == nil || j.reported || !j.ended() && !last {
			continue
		}
		out = append(out, contract.Event{
			Type: actReport, Subject: flow + "." + name,
			Data: &Report{name, j.Failure}, With: r.Panics[name],
		})
	}
	return out
}

// record returns the report as it is written on the edge, or nil if there is only an end.
func (d *Report) record() ([]byte, error) {
	if d.Failure == nil {
		return nil, nil
	}
	return json.Marshal(d.Failure)
}

// written returns the counts of what was written for the job.
func (j *job) written() contract.Count {
	record, err := (&Report{Failure: j.Failure}).record()
	if err != nil || record == nil {
		return contract.Count{}
	}
	return contract.Count{Records: 1, Bytes: int64(len(record))}
}

// reporting reports whether a failed run still waits for its reporting jobs.
func (s *State) reporting(r *run, now time.Time) bool {
	if r.Cancel != nil || len(r.Failures) == 0 || r.reporters() == 0 {
		return false
	}
	return now.Before(r.Ending.Add(s.limits.Report))
}

// reporters counts the reporting jobs that have not ended.
func (r *run) reporters() int {
	n := 0
	for _, j := range r.Jobs {
		if j.Reporting && !j.ended() {
			n++
		}
	}
	return n
}

func (r *run) reportersRunning() bool {
	for _, j := range r.Jobs {
		if j.Reporting && j.State == contract.JobRunning {
			return true
		}
	}
	return false
}
