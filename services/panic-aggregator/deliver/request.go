package deliver

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/webhook"
)

// mediaType is that of a CloudEvent in structured mode.
const mediaType = "application/cloudevents+json"

// messageID returns the id of an event for a webhook: the same for each attempt, and another one for each event. It has no
// dot, which separates it from the rest of what is signed.
func messageID(name string, e contract.Event) string {
	sum := sha256.Sum256([]byte(name + "\n" + e.Source + "\n" + e.ID + "\n" + e.Time.UTC().Format(time.RFC3339Nano)))
	return "msg_" + hex.EncodeToString(sum[:16])
}

// headers returns the headers of a delivery, with a signature for each valid key of the webhook.
func headers(secret webhook.Secret, w webhook.Entry, id string, now time.Time, body []byte) (http.Header, error) {
	var keys []ed25519.PrivateKey
	for _, k := range w.ValidKeys(now) {
		key, err := secret.Key(w.Document.Name, k.Serial)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	h := http.Header{}
	h.Set("Content-Type", mediaType)
	h.Set("User-Agent", "Dagyo")
	h.Set(webhook.HeaderID, id)
	h.Set(webhook.HeaderTimestamp, webhook.Timestamp(now))
	h.Set(webhook.HeaderSignature, webhook.Sign(id, now, body, keys...))
	return h, nil
}
