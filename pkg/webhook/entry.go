package webhook

import (
	"slices"
	"time"
)

// An Entry is an applied webhook.
type Entry struct {
	Document Document `json:"document"`
	// Since is the place in EVENTS of the answer that has switched it on, On when that was stored: later verdicts are sent.
	Since uint64    `json:"since"`
	On    time.Time `json:"on"`
	// Keys are those of its signatures, the newest first.
	Keys []Key `json:"keys"`
	// By is who has applied its document, "" if nothing proves who did; At is when.
	By string    `json:"by,omitempty"`
	At time.Time `json:"at"`
	// Disabled is why it was switched off, "" if it is on.
	Disabled string `json:"disabled,omitempty"`
}

// A Key is one of a webhook.
type Key struct {
	Serial uint64 `json:"serial"`
	// Until is until when deliveries are signed with it, zero if it was not replaced.
	Until time.Time `json:"until,omitzero"`
}

// Valid reports whether deliveries are signed with the key.
func (k Key) Valid(now time.Time) bool { return k.Until.IsZero() || now.Before(k.Until) }

// ValidKeys returns the keys with which deliveries are signed, the newest first.
func (e Entry) ValidKeys(now time.Time) []Key {
	return slices.DeleteFunc(slices.Clone(e.Keys), func(k Key) bool { return !k.Valid(now) })
}
