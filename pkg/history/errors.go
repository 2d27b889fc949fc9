package history

import "errors"

// ErrSuperseded means that history is already stored beyond the place in EVENTS of an append: another
// leader is ahead.
var ErrSuperseded = errors.New("history is already stored beyond this place in EVENTS")

// ErrContended means that another writer appended at the same time. Append again: it finds out whether
// anything is left to store.
var ErrContended = errors.New("another writer appended to history at the same time")
