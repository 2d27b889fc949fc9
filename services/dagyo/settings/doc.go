// Package settings defines a flag for every limit of the services. `dagyo up` and the command of each
// service have the same flags and defaults.
package settings
