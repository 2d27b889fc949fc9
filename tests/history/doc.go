// Package history tests pkg/history on a real server: that records are stored once and survive a restart, and what they
// cost.
package history
