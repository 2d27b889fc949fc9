package contract

import "github.com/dagyo/dagyo/pkg/progdef"

// A CatalogEntry is what BucketProgdefs holds under a progdef's name.
type CatalogEntry struct {
	progdef.Pinned
	// Seq is the place in EVENTS of the change; Removed marks a progdef that is no more.
	Seq     uint64 `json:"seq"`
	Removed bool   `json:"removed,omitempty"`
}
