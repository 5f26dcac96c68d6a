# The gateway in an image of its own, built from this checkout and run as nobody. Both stages are
# the same Debian, so that the program finds the C library it was built with.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked --package poly2mqtt

FROM debian:bookworm-slim
# The system's certificate authorities, for mqtts:// and for certificate = "system".
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /src/target/release/poly2mqtt /usr/local/bin/poly2mqtt
USER nobody
ENTRYPOINT ["poly2mqtt"]
CMD ["run"]
