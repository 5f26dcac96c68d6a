#!/usr/bin/env bash
# The package and the tarball in a Debian that holds nothing else: installed, a simulated room muted, upgraded,
# removed, purged; then nothing may be left but what docs/install.md names. Prints what it does, with times.
#
#   tests/package.sh dist/poly2mqtt_VERSION_amd64.deb dist/poly2mqtt-VERSION-TARGET.tar.gz
#
# Needs root and debootstrap. POLY2MQTT_DEBIAN names a folder with a clean Debian to copy instead (and is where
# it is put for the next time, if there is none), POLY2MQTT_SUITE the release (bookworm).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
deb=$(realpath "$1")
tarball=$(realpath "$2")
suite=${POLY2MQTT_SUITE:-bookworm}
work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT
clean=${POLY2MQTT_DEBIAN:-$work/clean}
[ -d "$clean/usr" ] || debootstrap --variant=minbase "$suite" "$clean" >"$work/debootstrap.log"

# An upgrade needs a second version: the same package with a higher number.
dpkg-deb -R "$deb" "$work/newer"
sed -i 's/^Version: .*/&+upgrade1/' "$work/newer/DEBIAN/control"
dpkg-deb --root-owner-group -Zgzip -z1 -b "$work/newer" "$work/newer.deb" >/dev/null

for way in package tarball; do
  printf '\n== %s\n' "$way"
  cp -a "$clean" "$work/$way"
  cp "$here/package_inside.sh" "$deb" "$work/newer.deb" "$tarball" "$work/$way/root/"
  # A network and processes of its own: nothing of this machine is in the way, and nothing stays behind.
  unshare --mount --net --pid --fork --kill-child bash -euc '
    ip link set lo up
    mount -t proc proc "$1/proc"
    mount --rbind /dev "$1/dev"
    exec chroot "$1" env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C DEBIAN_FRONTEND=noninteractive \
      bash -eu /root/package_inside.sh "$2" "$3" "$4"
  ' bash "$work/$way" "$way" "$(basename "$deb")" "$(basename "$tarball")"
  rm -rf --one-file-system "${work:?}/$way"
done
printf '\n2 passed, 0 failed\n'
