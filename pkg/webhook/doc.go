// Package webhook contains what webhooks are: their documents, and the signatures of what is sent to them.
//
// Signatures follow the Standard Webhooks specification (https://www.standardwebhooks.com) with its asymmetric scheme, v1a:
// a receiver has a public key, and no secret is ever sent.
package webhook
