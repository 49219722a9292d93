# syntax=docker/dockerfile:1

# The images of docker-compose.yml, each a target of this file:
#
#   sidehook   the `sidehook` command: sidecar, receiver, all the others
#   gateway    Envoy with the filter
#   people     the sample API
#
#   docker build --target sidehook --tag sidehook .
#
# Everything of ours runs as the user 65532, who owns nothing but /config.

# Debian's release is the same in all of them: what is linked here meets its own libc there.
FROM rust:1.95-bookworm AS toolchain
RUN rustup target add wasm32-unknown-unknown
WORKDIR /src
COPY . .

# The caches keep what cargo downloaded and compiled from one build to the next; what is needed of it
# is copied out, because a cache is no part of an image.

FROM toolchain AS build-wasm
# No path of the builder gets into the modules, and no seed of its own.
ENV RUSTFLAGS="--remap-path-prefix=/src=/sidehook --remap-path-prefix=/usr/local/cargo=/cargo"
ENV CONST_RANDOM_SEED=sidehook
RUN --mount=type=cache,id=sidehook-registry,target=/usr/local/cargo/registry \
    --mount=type=cache,id=sidehook-wasm,target=/src/target,sharing=locked \
    cargo build --locked --package sidehook-filter --package sidehook-script-engine --lib \
        --target wasm32-unknown-unknown --profile wasm \
    && cp target/wasm32-unknown-unknown/wasm/sidehook_*.wasm /

FROM toolchain AS build-sidehook
# Backtraces name functions; line tables weigh more than they tell.
ENV CARGO_PROFILE_RELEASE_DEBUG=none
COPY --from=build-wasm /sidehook_script_engine.wasm /
ENV SIDEHOOK_SCRIPT_ENGINE=/sidehook_script_engine.wasm
RUN --mount=type=cache,id=sidehook-registry,target=/usr/local/cargo/registry \
    --mount=type=cache,id=sidehook-release,target=/src/target,sharing=locked \
    cargo build --locked --package sidehook --bin sidehook --release \
    && cp target/release/sidehook /
# Machine code for this processor; on another one it is compiled at the start.
RUN /sidehook script warm --script-cache /script-cache

FROM toolchain AS build-people
ENV CARGO_PROFILE_RELEASE_DEBUG=none
RUN --mount=type=cache,id=sidehook-registry,target=/usr/local/cargo/registry \
    --mount=type=cache,id=sidehook-release,target=/src/target,sharing=locked \
    cargo build --locked --package xtask --bin xtask --release \
    && cp target/release/xtask /

# A new volume takes over the owner and the mode of the folder that it is mounted on.
FROM toolchain AS folders
RUN install --directory --mode=0700 --owner=65532 --group=65532 /folders/config

FROM gcr.io/distroless/cc-debian12:nonroot AS sidehook
COPY --from=folders --chown=65532:65532 /folders/ /
COPY --from=build-sidehook /sidehook /usr/local/bin/
COPY --from=build-sidehook --chown=65532:65532 /script-cache /var/cache/sidehook
ENV SIDEHOOK_SCRIPT_CACHE=/var/cache/sidehook
USER 65532:65532
EXPOSE 5000
ENTRYPOINT ["/usr/local/bin/sidehook"]
CMD ["serve"]

FROM envoyproxy/envoy:v1.40-latest AS gateway
COPY --from=folders --chown=65532:65532 /folders/ /
COPY --from=build-wasm /sidehook_filter.wasm /etc/envoy/
USER 65532:65532
EXPOSE 8000 9901
ENTRYPOINT ["/usr/local/bin/envoy"]
CMD ["--config-path", "/config/envoy.yaml", "--disable-hot-restart"]

# Built on `sidehook` for the sake of its health check.
FROM sidehook AS people
COPY --from=build-people /xtask /usr/local/bin/
EXPOSE 3000
ENTRYPOINT ["/usr/local/bin/xtask", "people"]
CMD ["--listen", "0.0.0.0:3000"]
