package history

import "errors"

// ErrSuperseded says that history has already been stored beyond the place in EVENTS of an append:
// another leader is ahead.
var ErrSuperseded = errors.New("history is stored beyond this place in EVENTS")

// ErrContended says that another writer has appended at the same time. Append again: it finds out
// whether anything is left to store.
var ErrContended = errors.New("another writer has appended to history at the same time")
