package spawner

import (
	"cmp"
	"slices"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/services/spawner/admission"
)

// askExecutors answers what serves each revision of the progdef that is named, or of all.
func askExecutors(s *State, name []byte) (any, error) {
	all := make(map[string]*contract.Capacity)
	of := func(mailbox string) *contract.Capacity {
		if all[mailbox] == nil {
			progdef, revision := contract.SplitMailbox(mailbox)
			all[mailbox] = &contract.Capacity{Progdef: progdef, Revision: revision}
		}
		return all[mailbox]
	}
	for mailbox, r := range s.revisions {
		c := of(mailbox)
		c.Current, c.Reason = r.current, s.waiting[mailbox]
		for _, jobs := range r.awaiting {
			c.Waiting += jobs
		}
		if r.Last != nil {
			c.Failed, c.Reason, c.Detail = r.Failures+r.Refusals, r.Last.Ending(), r.Last.Detail
			c.Retry = r.Until
			if r.Spare.After(r.Until) {
				c.Retry = r.Spare
			}
		}
	}
	for _, x := range s.executors {
		c := of(x.Mailbox)
		if x.Draining {
			c.Draining++
		} else {
			c.Executors++
		}
		c.Running += x.jobs
	}
	out := []contract.Capacity{}
	for _, c := range all {
		if len(name) == 0 || c.Progdef == string(name) {
			out = append(out, *c)
		}
	}
	slices.SortFunc(out, func(a, b contract.Capacity) int {
		newer := 0
		if a.Current != b.Current {
			newer = 1
			if a.Current {
				newer = -1
			}
		}
		return cmp.Or(cmp.Compare(a.Progdef, b.Progdef), newer, cmp.Compare(a.Revision, b.Revision))
	})
	return out, nil
}

// askUsage answers what the tenant and its users hold of their limits. A state has the flows of one tenant only.
func askUsage(s *State, _ []byte) (any, error) {
	out := contract.Usage{
		Executors: len(s.executors) + len(s.starting), ExecutorLimit: s.limits.Executors,
		TenantLimits: quotaOf(s.limits.Tenant), UserLimits: quotaOf(s.limits.User), Users: []contract.UserHolding{},
	}
	tenants, users := s.queue.Holdings()
	for _, h := range tenants {
		out.Tenant = holdingOf(h)
	}
	for _, h := range users[:min(len(users), contract.UsersInUsage)] {
		out.Users = append(out.Users, contract.UserHolding{User: h.Owner.User, Holding: holdingOf(h)})
	}
	out.Omitted = len(users) - len(out.Users)
	return out, nil
}

func holdingOf(h admission.Holding) contract.Holding {
	return contract.Holding{Flows: h.Flows, Waiting: h.Waiting, Slots: h.Slots, Executors: h.Executors}
}

func quotaOf(q admission.Quota) contract.Quota {
	return contract.Quota{Flows: q.Flows, Waiting: q.Waiting, Slots: q.Slots, Executors: q.Executors}
}
