# The image of Dagyo: one static binary, which is every service, the command and the standard executors.
#
#   docker build --tag dagyo .                                        from source
#   make dist && docker build --tag dagyo --target prebuilt .         without any base image
#
# Docker's old builder builds every stage up to its target. So the stages that need no registry are first, and `prebuilt` is
# built, in vain, where nothing is in dist/.

FROM scratch AS base
ENV PATH=/
# A named volume takes its owner from the folder that it is mounted on. Those in /auth are of `dagyo init auth`.
COPY --chown=65532:65532 deploy/docker/data /data
COPY --chown=65532:65532 deploy/docker/data /spool
COPY --chown=65532:65532 deploy/docker/data /auth
COPY --chown=65532:65532 deploy/docker/data /auth/nats
COPY --chown=65532:65532 deploy/docker/data /auth/validator
COPY --chown=65532:65532 deploy/docker/data /auth/planner
COPY --chown=65532:65532 deploy/docker/data /auth/spawner
COPY --chown=65532:65532 deploy/docker/data /auth/panic-aggregator
COPY --chown=65532:65532 deploy/docker/data /auth/publisher
COPY --chown=65532:65532 deploy/docker/data /auth/platform
COPY --chown=65532:65532 deploy/docker/data /auth/gateway
USER 65532:65532
ENTRYPOINT ["/dagyo"]
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="Dagyo" \
      org.opencontainers.image.description="Typed, streaming data-flow graphs: services, command and standard executors" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"

FROM base AS prebuilt
COPY LICENSE-* dist/dagyo.cdx.jso[n] dist/dagy[o] /

FROM golang:1.26 AS build
WORKDIR /src
# The modules first: as long as they stay the same they are not fetched again.
COPY schemas/go.mod schemas/
COPY pkg/go.mod pkg/go.sum pkg/
COPY executor/go.mod executor/go.sum executor/
COPY services/validator/go.mod services/validator/go.sum services/validator/
COPY services/planner/go.mod services/planner/go.sum services/planner/
COPY services/spawner/go.mod services/spawner/go.sum services/spawner/
COPY services/panic-aggregator/go.mod services/panic-aggregator/go.sum services/panic-aggregator/
COPY services/gateway/go.mod services/gateway/go.sum services/gateway/
COPY services/dagyo/go.mod services/dagyo/go.sum services/dagyo/
RUN cd services/dagyo && GOWORK=off go mod download
COPY . .
ARG VERSION=0.1.0
ARG COMMIT=
RUN make dist/dagyo VERSION="${VERSION}" COMMIT="${COMMIT}"

FROM base AS release
# The bill of materials, if `make sbom` has written one.
COPY LICENSE-* dist/dagyo.cdx.jso[n] /
COPY --from=build /src/dist/dagyo /
