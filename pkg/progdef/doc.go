// Package progdef checks progdef documents, fills in their defaults and computes the revision that
// their content hashes to. It is pure.
package progdef
