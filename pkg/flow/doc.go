// Package flow checks flow documents, solves their types and brings them into normal form; it also
// tells which ports may be connected. It is pure: the catalogue comes in, a checked flow or every
// problem at once comes out.
package flow
