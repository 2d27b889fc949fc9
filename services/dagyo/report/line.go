package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/webhook"
)

// Line formats the content of an event as one line, without its type and subject.
func Line(e contract.Event) string {
	if len(e.Problems) > 0 {
		return "invalid event: " + firstOf(e.Problems)
	}
	return clean(strings.ReplaceAll(line(e), "\n", " "))
}

func line(e contract.Event) string {
	switch d := e.Data.(type) {
	case *contract.FlowCancel:
		return canceller(e.By, e.Source) + reason(d.Reason)
	case *contract.FlowRejected:
		return firstOf(d.Problems)
	case *contract.FlowValidated:
		return fmt.Sprintf("%s, %s", document.Count(len(d.Flow.Nodes), "node"),
			document.Count(len(d.Flow.Edges), "edge"))
	case *contract.FlowPlanned:
		return fmt.Sprintf("%s, %s", document.Count(len(d.Jobs), "job"),
			document.Count(len(d.Edges), "edge"))
	case *contract.FlowQueued:
		return queued(*d)
	case *contract.FlowStalled:
		return stalled(*d, e.Time.Sub(d.Since))
	case *contract.FlowSpawned:
		return fmt.Sprintf("%s for %s", executors(d.Executors), document.Count(d.Jobs, "job"))
	case *contract.FlowCleaned:
		return ""
	case *contract.DeadLetter:
		return fmt.Sprintf("message %d on %s: %s", d.Sequence, d.Subject, firstOf(d.Problems))
	}
	return smallLine(e)
}

// smallLine formats the events of jobs, executors and catalogues.
func smallLine(e contract.Event) string {
	switch d := e.Data.(type) {
	case *contract.JobStarted:
		return fmt.Sprintf("%s on %s", d.Job, d.Executor)
	case *contract.JobDone:
		return d.Job + ": " + ports(d.PortCounts) + stopped(d.Stopped)
	case *contract.JobPanic:
		return fmt.Sprintf("%s: %s: %s", d.Job, d.Kind, d.Message)
	case *contract.FlowCompleted:
		return fmt.Sprintf("%s in %s", document.Count(d.Jobs, "job"), span(d.Duration.D()))
	case *contract.FlowPanic:
		return fmt.Sprintf("%s: %s: %s", whose(d.Cause), d.Cause.Kind, d.Cause.Message)
	case *contract.FlowCancelled:
		return canceller(d.By, d.Source) + reason(d.Reason)
	case *contract.ExecutorStarted:
		return "revision " + d.Revision
	case *contract.ExecutorDraining:
		return d.Reason
	case *contract.ExecutorExited:
		return d.Reason
	case *contract.TypeApplied:
		return d.Document.Typename() + by(d.By)
	case *contract.TypeRejected:
		return firstOf(d.Problems)
	case *contract.ProgdefApplied:
		return "revision " + d.Revision + by(d.By)
	case *contract.ProgdefRemoved:
		return strings.TrimPrefix(by(d.By), " ")
	case *contract.ProgdefRejected:
		return firstOf(d.Problems)
	}
	return webhookLine(e)
}

// webhookLine formats the events of webhooks. URLs are without their queries.
func webhookLine(e contract.Event) string {
	switch d := e.Data.(type) {
	case *contract.WebhookApplied:
		return strings.Join(d.Document.Events, ", ") + " to " + clean(webhook.Masked(d.Document.URL)) + by(d.By)
	case *contract.WebhookRejected:
		return firstOf(d.Problems)
	case *contract.WebhookRemoved:
		return strings.TrimPrefix(by(d.By), " ")
	case *contract.WebhookRotated:
		return "new key " + d.Key + by(d.By)
	case *contract.WebhookTested:
		if d.Delivered {
			return fmt.Sprintf("delivered, status %d", d.Status) + by(d.By)
		}
		return "not delivered: " + clean(d.Error) + by(d.By)
	case *contract.WebhookDisabled:
		return d.Reason
	}
	return ""
}

func firstOf(problems problem.List) string {
	if len(problems) == 0 {
		return "reason unknown"
	}
	s := problems[0].String()
	if n := len(problems) - 1; n > 0 {
		s += fmt.Sprintf(" (and %d more)", n)
	}
	return s
}

func reason(text string) string {
	if text == "" {
		return ""
	}
	return ": " + text
}

func stopped(yes bool) string {
	if yes {
		return ", stopped"
	}
	return ""
}

func queued(d contract.FlowQueued) string {
	var parts []string
	if d.Place > 0 {
		parts = append(parts, fmt.Sprintf("place %d", d.Place))
	}
	if len(d.Behind) > 0 {
		parts = append(parts, "behind "+strings.Join(d.Behind, ", "))
	}
	var needs []string
	for _, s := range d.Shortage {
		if s.Reason != "" {
			parts = append(parts, jobsWaiting(s))
		} else {
			needs = append(needs, s.String())
		}
	}
	if len(needs) > 0 {
		parts = append(parts, "needs "+strings.Join(needs, " and "))
	}
	return strings.Join(parts, ", ")
}

// jobsWaiting returns why the jobs of a granted flow wait for executors.
func jobsWaiting(s contract.Shortage) string {
	return fmt.Sprintf("%s of %s waiting: %s", document.Count(s.Needed, "job"), s.Progdef, clean(s.Reason))
}

// stalled formats the beginning or the end of a stall that has lasted for a while.
func stalled(d contract.FlowStalled, lasted time.Duration) string {
	lasted = lasted.Round(time.Second)
	if !d.Stalled {
		return fmt.Sprintf("moves again after %v", lasted)
	}
	s := fmt.Sprintf("no record for %v: %s", lasted, d.WaitsFor())
	for i, e := range d.Edges {
		switch {
		case e.Waits != contract.SideWriter:
		case i == 0:
			s += "; full: " + e.From + " → " + e.To
		default:
			s += ", " + e.From + " → " + e.To
		}
	}
	return s
}

// executors returns the number of executors of each progdef.
func executors(byMailbox map[string]int) string {
	total := 0
	for _, n := range byMailbox {
		total += n
	}
	return document.Count(total, "executor")
}

// ports returns the number of records of each input and output of a job.
func ports(c contract.PortCounts) string {
	parts := []string{}
	for _, port := range slices.Sorted(maps.Keys(c.Inputs)) {
		parts = append(parts, fmt.Sprintf("%s in %d", port, c.Inputs[port].Records))
	}
	for _, port := range slices.Sorted(maps.Keys(c.Outputs)) {
		parts = append(parts, fmt.Sprintf("%s out %d", port, c.Outputs[port].Records))
	}
	return strings.Join(parts, ", ")
}

// whose returns what failed.
func whose(f contract.JobFailure) string {
	if f.Job == "" {
		return "the flow"
	}
	return "job " + f.Job
}

// by names a user whom the broker has proven, if there is one.
func by(user string) string {
	if user == "" {
		return ""
	}
	return " by " + clean(user)
}
