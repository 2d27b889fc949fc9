// Package std contains the standard progdefs: small programs that are part of every installation of Dagyo, so that
// a typical flow needs few programs of its own. docs/progdefs.md describes each, with an example flow.
//
//	source, counter                           write records of their own
//	tee, merge, concat, zip, flatten          fan out, fan in, pair
//	head, count, lines, jq, template          cut, count and change records
//	sample, dedupe, partition                 choose records
//	batch, window, sort, join                 group, order and combine records
//	throttle, sleep                           slow down
//	assert, ignore_errors, log_errors,
//	split_errors                              take a Result<T> apart
//	http_get, http_post                       fetch and post
//	void_sink                                 discards records
//	greet, unordered_cartesian_product        demonstrate
//
// Each is a [executor.Program] and a progdef document that declares the same ports; the documents run
// the program as `dagyo executor NAME`. All keep the order of their input unless their document says
// otherwise, hold a bounded number of records, and end when their outputs have no reader any more.
package std
