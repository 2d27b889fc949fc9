// Package std holds the standard progdefs: small programs that every installation of Dagyo has, for
// demonstrations, tests and as examples of package executor.
//
//	source                       writes 26 names, one for each letter of the alphabet
//	greet                        writes "hello " before each name
//	unordered_cartesian_product  writes every pair of a record of a and a record of b
//	void_sink                    reads its input and drops it
//
// Each is a [executor.Program] and the progdef document that declares the same ports; the documents
// run the program as `dagyo executor NAME`.
package std
