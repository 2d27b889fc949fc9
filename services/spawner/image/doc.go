// Package image makes the image of a progdef from its `build`, and says the reference that pins it.
//
// A Docker daemon builds and pushes; this package sends it the build context, a folder without what
// its .dockerignore names, and tells what it says. It decides nothing about executors: `dagyo progdef
// build` calls it, and it is in this module because the Docker client is.
//
// An image that was pushed is pinned by the digest of its manifest, REPOSITORY@sha256:…, which means
// the same image to every host. One that was not pushed is pinned by its id, sha256:…, which only the
// host that has it can run.
package image
