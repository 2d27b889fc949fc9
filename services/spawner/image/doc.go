// Package image builds the image of a progdef from its `build`, and returns the reference that pins it.
//
// A Docker daemon builds and pushes. This package sends it the build context, which is a folder without the files in
// its .dockerignore, and passes on its output. It decides nothing about executors: `dagyo progdef build` calls it. It
// is in this module because the Docker client is.
//
// A pushed image is pinned by the digest of its manifest, REPOSITORY@sha256:…, which is the same image on every host.
// An image that was not pushed is pinned by its id, sha256:…, and only its own host can run it.
package image
