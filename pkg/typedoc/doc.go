// Package typedoc checks the documents of the type catalogue. A document describes a typename and the layout of its
// records. The package also contains the documents of the built-in types. It is pure.
package typedoc
