// Package flow checks flow documents, solves their types and brings them into normal form. It also
// finds the ports that may be connected. It is pure: its input is the catalogue, its output is a
// checked flow or every problem at once.
package flow
