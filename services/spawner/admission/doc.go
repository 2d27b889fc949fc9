// Package admission decides which of the waiting flows gets capacity next. It is pure: a function from the state of
// the queue and of the pools to admissions.
//
// A flow gets all that it needs at once, or nothing: slots of one or more pools (the executors of a mailbox), and
// places for the executors that must be started for it. A waiting flow holds back only flows that want what it lacks.
//
// # Order
//
// Among the flows that fit, the next is one of the tenant with the smallest dominant share, then the one with the
// highest priority, then one of the user with the smallest dominant share, then the first that arrived. The dominant
// share of a tenant is the largest fraction that it holds of any pool or of the places, divided by its weight
// (dominant resource fairness).
//
// # Reservation
//
// A flow that needs much could wait for ever behind a stream of small flows. So a flow that was passed, by a flow that
// arrived later and wants the same, and that still waits some time later, reserves all that it needs: what is free and
// what becomes free is kept for it. Of the flows whose needs overlap only one has a reservation at a time: one of the
// tenant with the smallest share, then the one that was passed first. If it lacks places, pools of others are closed
// until enough of their executors are idle and can be drained; so any flow that is admitted meanwhile passes it.
//
// Keeping things idle is of use only if what is lacking becomes free soon, which nobody knows. The guess is that a job
// goes on for about as long as it has been running. A flow has no reservation while it waits for a job that has been
// running for longer than its patience: ten times the time after which a reservation begins, doubled as long as that
// is at most half of the time that it has waited. So where all flows end, each waiting flow has a reservation at last:
// when it has waited for four times as long as any of them runs. And a flow that does not end costs those that want
// something else no more than that patience.
//
// # Quotas
//
// A tenant and a user may have a quota. A flow that a quota keeps from running is no candidate, and concerns only flows
// that share the quota: no other passes it, and it reserves nothing but the quota. That it does when a later flow that
// shares the quota went ahead some time ago, as above: otherwise small flows of a user would hold back the large one for
// ever.
//
// # Costs
//
// Flows with the same tenant, user, priority and needs are a class, and only the first of a class is compared with
// others. A decision costs time for each class, not for each flow.
package admission
