// Package webhooks tests the delivery of verdicts to real HTTP servers.
package webhooks
