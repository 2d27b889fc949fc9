// Package unify solves equations between types that have variables, one equation at a time. It is
// pure, and knows nothing of flows.
//
// A type is a variable, or a name applied to types: Result<list<X>>. Types that were found equal
// are one class (union-find). Each class knows how large its type is at least, so that a type
// without end shows as one that outgrows the limit, and nothing ever descends deeper than that.
//
// An equation that cannot hold with those before it is undone without a trace, and what has made
// two types equal can be asked for afterwards. Both need the forest of classes as it grew, which is
// why its paths are not compressed; joined by size, they have at most log n steps.
package unify
