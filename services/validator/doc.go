// Package validator checks progdefs and flows, and owns the catalogue.
//
// It reads flow.submit, progdef.apply, progdef.remove and type.apply. It writes flow.validated, flow.rejected (also if a
// tenant or user submits more flows a second than it may), a deadletter if the flow's id is taken, progdef.applied,
// progdef.rejected and progdef.removed, and type.applied or type.rejected. It keeps the catalogues in the key-value buckets "progdefs" and "types". It answers ask.flow.validate,
// ask.catalog.list, ask.catalog.get, ask.catalog.compatible and ask.catalog.types.
//
// The catalogue is a fold over the commands themselves: a progdef takes effect at its place in EVENTS, so a
// flow submitted directly after it uses it, on every replica.
package validator
