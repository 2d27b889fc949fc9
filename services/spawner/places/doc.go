// Package places divides the places for executors of an installation among its tenants. [Divide] is pure: it decides how
// many executors each tenant may have. An [Arbiter] does the rest for the spawners of all tenants in one process: each
// says what its tenant has and wants, and is told what it may have.
//
// A flow gets all of its executors or none, so what a tenant wants is counted in whole flows: what the next of them
// lacks. The tenant with the smallest share, by weight, goes first. What it lacks is kept for it: idle executors of
// others are given back, those of the largest shares first, and while it waits no tenant gets more that has its fair
// part or more. One that has waited for long goes before all others, so that a large flow finds room at last.
//
// Nobody loses an executor with a job. What is wanted for later, the minimum of a progdef, is granted only of what is
// free and wanted by no flow.
package places
