# The gateway in an image of its own: built from this checkout, run without rights. docs/container.md says how.
#
# Both stages are the same Debian, so that the program finds the C library that it was built with.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# Sources of dependencies and what was compiled stay in the builder's cache, so a change of the gateway does not
# compile its dependencies again. A cache is no part of the image: the program is copied out of it.
RUN --mount=type=cache,id=poly2mqtt-registry,target=/usr/local/cargo/registry \
    --mount=type=cache,id=poly2mqtt-target,target=/src/target \
    cargo build --profile dist --features jemalloc --locked --package poly2mqtt \
    && cp target/dist/poly2mqtt /usr/local/bin/poly2mqtt

FROM debian:bookworm-slim
LABEL org.opencontainers.image.title="poly2mqtt" \
      org.opencontainers.image.description="The gateway between MQTT, WebSocket, HTTP or TCP clients and Poly VideoOS rooms"
# The system's certificate authorities, for mqtts:// and for certificate = "system".
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /usr/local/bin/poly2mqtt /usr/local/bin/poly2mqtt
# Nobody, by number: Kubernetes checks runAsNonRoot by it.
USER 65534:65534
# The configuration is at /etc/poly2mqtt/poly2mqtt.toml, or in variables. No file is written.
EXPOSE 8080
# A gateway that answers is healthy, even without its broker: a restart would not bring that back.
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s --retries=3 \
    CMD ["poly2mqtt", "check", "--health"]
ENTRYPOINT ["poly2mqtt"]
CMD ["run"]
