# The commands of a developer's day; `just` lists them. Install it with `cargo install just`.

# The list of recipes.
default:
    @just --list --unsorted

# What must pass before a change is proposed: formatting, lints, pages, tests. The whole is .ci/run.
check *filter:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --quiet
    cargo test {{ filter }}

# Write again everything that is made from the catalogue and the configuration.
regen:
    tools/regen.sh

# Random commands while broker, gateway, devices and networks fail, for so many seconds.
faults seconds="3600" seed="1":
    POLY2MQTT_FAULTS_SECONDS={{ seconds }} POLY2MQTT_FAULTS_SEED={{ seed }} \
      cargo test --release --test faults -- --nocapture

# Several gateways over etcd: the acts that are measured, then acts at random for so many seconds.
cluster seconds="3600" seed="1" rooms="60":
    POLY2MQTT_CLUSTER_SECONDS={{ seconds }} POLY2MQTT_CLUSTER_SEED={{ seed }} \
      POLY2MQTT_CLUSTER_ROOMS={{ rooms }} POLY2MQTT_CLUSTER_THOROUGHNESS=5 \
      cargo test --release --test cluster -- --nocapture

# One fuzz target for so many seconds, or each of them in turn. Needs `cargo install cargo-fuzz`.
fuzz target="all" seconds="60":
    #!/usr/bin/env bash
    set -euo pipefail
    targets={{ quote(target) }}
    [ "$targets" != all ] || targets=$(ls fuzz/seeds)
    for target in $targets; do
      mkdir -p "fuzz/corpus/$target"
      RUSTC_BOOTSTRAP=1 cargo fuzz run --sanitizer none "$target" \
        "fuzz/corpus/$target" "fuzz/seeds/$target" -- \
        -max_total_time={{ seconds }} -max_len=4096
    done

# One bench (latency, throughput, scale, room, crowd, floods, cluster) with its words, such as `just bench latency seconds=12`.
bench name="latency" *words:
    cargo bench --features jemalloc --bench {{ name }} -- {{ words }}

# These pages as a site with a search, in target/site/html. Needs `cargo install mdbook` and Python 3.
site:
    mdbook build

# The Debian package and the tarball, with checksums, in dist/. Needs `cargo install cargo-deb cargo-cyclonedx`.
package target="":
    tools/package.sh {{ target }}
