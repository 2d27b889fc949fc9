// Package settings gives every limit of the services a flag: the same ones on each service's own
// command and on `dagyo up`, with the services' own defaults.
package settings
