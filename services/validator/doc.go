// Package validator checks progdefs and flows, and owns the catalogue.
//
// It reads flow.submit, progdef.apply, progdef.remove and type.apply. It writes flow.validated, flow.rejected (also if a
// tenant or user submits more flows a second than it may), a deadletter if the flow's id is taken, progdef.applied,
// progdef.rejected and progdef.removed, and type.applied or type.rejected. It keeps the catalogues in the key-value
// buckets "progdefs" and "types". It answers ask.flow.validate, ask.catalog.check, ask.catalog.list, ask.catalog.get,
// ask.catalog.compatible and ask.catalog.types.
//
// The catalogue is a fold over the answers: the leader judges each command, also by the installation's policy, and every
// replica takes over progdef.applied and progdef.removed. A submission waits for the answers to the commands about
// progdefs before it, so a flow submitted directly after a progdef uses it. So does a progdef.apply with a flow. The flows of
// progdefs are expanded in the flows that use them.
package validator
