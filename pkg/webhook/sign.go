package webhook

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
	"time"
)

// Headers of a delivery.
const (
	HeaderID        = "webhook-id"
	HeaderTimestamp = "webhook-timestamp"
	HeaderSignature = "webhook-signature"
)

const (
	publicPrefix = "whpk_"
	version      = "v1a"
)

// A Secret is what the keys of all webhooks of a tenant are derived from.
type Secret []byte

// Key returns a key of a webhook. The serial number distinguishes it from other keys of the webhook, and of earlier ones
// with the same name.
func (s Secret) Key(name string, serial uint64) (ed25519.PrivateKey, error) {
	seed, err := hkdf.Key(sha256.New, s, nil, "dagyo webhook\n"+name+"\n"+strconv.FormatUint(serial, 10), ed25519.SeedSize)
	if err != nil {
		return nil, err
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// Public returns the public key of a webhook as receivers take it.
func (s Secret) Public(name string, serial uint64) (string, error) {
	key, err := s.Key(name, serial)
	if err != nil {
		return "", err
	}
	return publicPrefix + base64.StdEncoding.EncodeToString(key.Public().(ed25519.PublicKey)), nil
}

// Sign returns the signatures of a delivery, one for each key.
func Sign(id string, at time.Time, body []byte, keys ...ed25519.PrivateKey) string {
	signed := append([]byte(id+"."+Timestamp(at)+"."), body...)
	all := make([]string, len(keys))
	for i, key := range keys {
		all[i] = version + "," + base64.StdEncoding.EncodeToString(ed25519.Sign(key, signed))
	}
	return strings.Join(all, " ")
}

// Timestamp returns the time of a delivery as its header has it.
func Timestamp(at time.Time) string { return strconv.FormatInt(at.Unix(), 10) }
