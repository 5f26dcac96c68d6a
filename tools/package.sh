#!/usr/bin/env bash
# Makes the Debian package and the tarball: `tools/package.sh [TARGET]`, such as aarch64-unknown-linux-gnu.
#
# The same commit, Rust and C compiler make the same bytes: times come from the commit, paths are mapped
# away, names are sorted. Needs cargo-deb and cargo-cyclonedx (`cargo install --locked …`).
# POLY2MQTT_PROFILE=dev packs a debug build instead, to try the packaging itself quickly.
# Leaves in dist/: the package, the tarball, the list of what is in the program (SBOM), SHA256SUMS.
set -euo pipefail
cd "$(dirname "$0")/.."
umask 022
export LC_ALL=C TZ=UTC

target=${1:-}
host=$(rustc -vV | sed -n 's/^host: //p')
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
targets=${CARGO_TARGET_DIR:-target}
mkdir -p "$targets"
targets=$(cd "$targets" && pwd)

profile=${POLY2MQTT_PROFILE:-dist}
folder=$profile
[ "$profile" != dev ] || folder=debug

# The paths of this machine must not reach the program: panics name the source file.
cargo_home=${CARGO_HOME:-$HOME/.cargo}
if [ "$profile" = dist ]; then
  export RUSTFLAGS="--remap-path-prefix=$cargo_home=/cargo --remap-path-prefix=$targets=/target --remap-path-prefix=$PWD=/src"
  export CFLAGS="-ffile-prefix-map=$cargo_home=/cargo -ffile-prefix-map=$targets=/target"
fi

# For Cargo's own architecture no --target is given, because it would build everything anew.
if [ -z "$target" ] || [ "$target" = "$host" ]; then
  target=$host
  build=()
  built=$targets/$folder
else
  build=(--target "$target")
  built=$targets/$target/$folder
fi
cargo build --profile "$profile" --features jemalloc --locked --package poly2mqtt "${build[@]}"

# The layout that package and tarball share.
rm -rf dist/root
root=dist/root/usr
doc=$root/share/doc/poly2mqtt
mkdir -p "$root/bin" "$root/share/man/man1" "$root/lib/systemd/system" "$doc" \
  "$root/share/bash-completion/completions" "$root/share/zsh/vendor-completions" \
  "$root/share/fish/vendor_completions.d"
cp "$built/poly2mqtt" "$root/bin/"
[ "$profile" = dist ] || strip "$root/bin/poly2mqtt"
cp examples/systemd/poly2mqtt.service "$root/lib/systemd/system/"

# Manual pages and completions are made by a program that runs here.
program=$built/poly2mqtt
if [ "$target" != "$host" ]; then
  cargo build --quiet --locked --package poly2mqtt
  program=$targets/debug/poly2mqtt
fi
"$program" man --directory "$root/share/man/man1"
"$program" completions bash >"$root/share/bash-completion/completions/poly2mqtt"
"$program" completions zsh >"$root/share/zsh/vendor-completions/_poly2mqtt"
"$program" completions fish >"$root/share/fish/vendor_completions.d/poly2mqtt.fish"

# What is in the program: every crate with version and licence.
cargo cyclonedx --format json --features jemalloc --target "$target" --override-filename poly2mqtt.cdx --quiet \
  --manifest-path Cargo.toml
sed "s|path+file://$PWD|path+file:///src|g" poly2mqtt.cdx.json >"$doc/poly2mqtt.cdx.json"
rm -f poly2mqtt.cdx.json simulator/poly2mqtt.cdx.json benches/support/poly2mqtt.cdx.json tests/support/poly2mqtt.cdx.json

cp -r docs examples "$doc/"
rm -rf "$doc/docs/decisions" "$doc/examples/systemd" "$doc/examples/docker"
find "$doc" \( -name '*.png' -o -name .gitignore \) -delete
mkdir -p "$root/share/lintian/overrides"
echo 'poly2mqtt: initial-upload-closes-no-bugs' >"$root/share/lintian/overrides/poly2mqtt"
cp config/poly2mqtt.toml config/poly2mqtt.schema.json "$doc/examples/"
cp README.md SECURITY.md "$doc/"
gzip -9n <CHANGELOG.md >"$doc/changelog.gz"
gzip -9n <<CHANGES >"$doc/changelog.Debian.gz"
poly2mqtt ($version-1) unstable; urgency=medium

  * Release $version. What changed for users is in changelog.gz.

 -- $(sed -n 's/^maintainer = "\(.*\)"/\1/p' Cargo.toml)  $(date -Rd "@$SOURCE_DATE_EPOCH")
CHANGES
find "$root/share/man" -type f -exec gzip -9n {} +
find dist/root -type d -exec chmod 755 {} +
find dist/root -type f -perm /111 -exec chmod 755 {} +
find dist/root -type f ! -perm /111 -exec chmod 644 {} +
find dist/root -exec touch -hd "@$SOURCE_DATE_EPOCH" {} +

cargo deb --quiet --no-build --no-strip --locked --profile "$profile" "${build[@]}" --output dist/
name=poly2mqtt-$version-$target
rm -rf "dist/$name"
mkdir "dist/$name"
cp -a dist/root/usr "dist/$name/"
cp packaging/debian/copyright "dist/$name/usr/share/doc/poly2mqtt/"
cp packaging/install.sh LICENSE "dist/$name/"
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" -C dist -c "$name" \
  | gzip -9n >"dist/$name.tar.gz"
cp "$doc/poly2mqtt.cdx.json" "dist/$name.cdx.json"
rm -rf "dist/$name"
(cd dist && sha256sum -- *.deb *.tar.gz *.cdx.json >SHA256SUMS && cat SHA256SUMS)
