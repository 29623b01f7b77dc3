# The images of the operator (the last stage, which is built by default) and of the emulator of Athena (--target athena-emulator).
# Without a container registry at hand, image/build compiles on the host and runs the last stages alone.
ARG BUILD_IMAGE=docker.io/library/rust:1.95-slim-bookworm

# Compiles on the builder's own architecture for the one that is asked for: emulating the other would take hours.
FROM --platform=${BUILDPLATFORM} ${BUILD_IMAGE} AS build
ARG TARGETARCH
RUN set -eux; \
    packages="ca-certificates"; \
    case "$TARGETARCH $(uname -m)" in \
        "arm64 x86_64") packages="$packages gcc-aarch64-linux-gnu libc6-dev-arm64-cross"; rustup target add aarch64-unknown-linux-gnu ;; \
        "amd64 aarch64") packages="$packages gcc-x86-64-linux-gnu libc6-dev-amd64-cross"; rustup target add x86_64-unknown-linux-gnu ;; \
    esac; \
    apt-get update; \
    apt-get install --yes --no-install-recommends $packages; \
    rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .

# Cargo tells what has changed by times, and a builder may give all that it copies the same old one: so what was compiled last time is kept for
# the crates of others alone.
FROM build AS build-athena-emulator
ARG TARGETARCH VERSION
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked --mount=type=cache,target=/src/target,sharing=locked \
    find src tests -type f -exec touch {} + && image/rootfs athena-emulator /rootfs

FROM build AS build-athena-operator
ARG TARGETARCH VERSION
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked --mount=type=cache,target=/src/target,sharing=locked \
    find src tests -type f -exec touch {} + && image/rootfs athena-operator /rootfs

# What both images have.
FROM scratch AS image
USER 65532:65532
ARG VERSION REVISION CREATED
LABEL org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.created="${CREATED}" \
    org.opencontainers.image.source="https://github.com/athena-operator/athena-operator" \
    org.opencontainers.image.licenses="Apache-2.0"

FROM image AS athena-emulator
LABEL org.opencontainers.image.title="athena-emulator" \
    org.opencontainers.image.description="A stateful emulator of the session operations of Amazon Athena for Apache Spark"
EXPOSE 4566
ENTRYPOINT ["/athena-emulator"]
COPY --from=build-athena-emulator /rootfs /

FROM image AS athena-operator
LABEL org.opencontainers.image.title="athena-operator" \
    org.opencontainers.image.description="Kubernetes operator for Amazon Athena for Apache Spark"
EXPOSE 8080
ENTRYPOINT ["/athena-operator"]
COPY --from=build-athena-operator /rootfs /
