// Package gateway tests services/gateway before a whole Dagyo, with HTTP clients.
package gateway
