// Package typedoc checks the documents of the type catalogue: what people should know of a
// typename, and how its records are laid out in octets. It also holds those of the built-in types.
// It is pure.
package typedoc
