// Package document reads the JSON that users send: strictly (no repeated keys, bounded depth and
// size), and against the JSON Schemas of module schemas, with every problem in one answer.
package document
