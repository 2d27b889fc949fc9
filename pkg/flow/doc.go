// Package flow checks flow documents and brings them into normal form. It is pure: the catalogue
// comes in, a checked flow or every problem at once comes out.
package flow
