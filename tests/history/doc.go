// Package history tests package pkg/history on a real server: what is stored once, what survives a
// restart, and what it costs.
package history
