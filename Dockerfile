# The gateway in an image of its own: built from this checkout, run as nobody.
FROM rust:1-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /src/target/release/poly2mqtt /usr/local/bin/poly2mqtt
USER nobody
ENTRYPOINT ["poly2mqtt"]
CMD ["run"]
