// Package document reads JSON sent by users: strictly (no repeated keys, bounded depth and size),
// and against the JSON Schemas of module schemas. It reports all problems in one answer.
package document
