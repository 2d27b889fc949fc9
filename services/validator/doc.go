// Package validator says whether progdefs and flows are right, and owns the catalogue.
//
// It reads flow.submit, progdef.apply and progdef.remove. It writes flow.validated or flow.rejected,
// progdef.applied, progdef.rejected and progdef.removed, and keeps the catalogue in the key-value
// bucket "progdefs". It answers ask.flow.validate, ask.catalog.list and ask.catalog.get.
//
// The catalogue is a fold over the commands themselves: a progdef counts from its place in EVENTS on,
// so a flow submitted right behind it finds it, on every replica.
package validator
