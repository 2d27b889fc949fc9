// Package unify solves equations between types that have variables, one equation at a time. It is
// pure, and knows nothing of flows.
//
// A type is a variable, or a name applied to types: Result<list<X>>. Equal types form a class (union-find). Each class
// records the minimum size of its type. An infinite type is detected when its size exceeds the limit, and no recursion
// goes deeper than that.
//
// An equation that contradicts earlier ones is undone completely, and the solver can explain why two types are equal.
// Both need the history of the forest of classes, so its paths are not compressed. Classes are joined by size, so paths
// have at most log n steps.
package unify
