// Package std holds the standard progdefs: small programs that every installation of Dagyo has, so that
// a flow of real use needs few programs of its own. docs/progdefs.md describes each, with a flow to run.
//
//	source, counter                           write records of their own
//	tee, merge, concat, zip, flatten          fan out, fan in, pair
//	head, count, lines, jq                    cut, count and change records
//	assert, ignore_errors, log_errors,
//	split_errors                              take a Result<T> apart
//	http_get                                  fetches
//	void_sink                                 drops what nobody wants
//	greet, unordered_cartesian_product        demonstrate
//
// Each is a [executor.Program] and the progdef document that declares the same ports; the documents
// run the program as `dagyo executor NAME`. All keep the order of what they read, unless their
// document says otherwise, hold a bounded number of records, and end when nobody wants their outputs
// any more.
package std
