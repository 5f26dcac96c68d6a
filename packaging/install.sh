#!/bin/sh
# Installs poly2mqtt from its tarball: as root, `./install.sh`; with --remove it takes everything away again
# but /etc/poly2mqtt. Made for Linux with or without systemd.
#
# PREFIX (/usr/local) is where the program goes, and DESTDIR is put before every path.
set -eu
cd "$(dirname "$0")"
prefix=${PREFIX:-/usr/local}
dest=${DESTDIR:-}
unit=$dest/etc/systemd/system/poly2mqtt.service

# Every file of the layout, relative to the prefix; the unit has a place of its own.
files() { (cd usr && find . -type f ! -path './lib/systemd/*'); }

if [ "${1:-}" = --remove ]; then
  if [ -d /run/systemd/system ] && [ -z "$dest" ]; then
    systemctl disable --now poly2mqtt 2>/dev/null || true
  fi
  files | while read -r file; do rm -f "$dest$prefix/$file"; done
  rm -rf "$dest$prefix/share/doc/poly2mqtt"
  rm -f "$unit"
  if [ -z "$dest" ] && getent passwd poly2mqtt >/dev/null; then userdel poly2mqtt; fi
  echo "poly2mqtt is removed; its configuration is still in /etc/poly2mqtt"
  exit 0
fi

if [ -z "$dest" ] && ! getent passwd poly2mqtt >/dev/null; then
  nologin=$(command -v nologin || echo /bin/false)
  useradd --system --user-group --no-create-home --home-dir /nonexistent --shell "$nologin" poly2mqtt
fi
files | while read -r file; do
  mode=644
  if [ -x "usr/$file" ]; then mode=755; fi
  mkdir -p "$dest$prefix/$(dirname "$file")"
  # Through a new file, so that a program that runs can be replaced.
  install -m "$mode" "usr/$file" "$dest$prefix/$file.new"
  mv -f "$dest$prefix/$file.new" "$dest$prefix/$file"
done
mkdir -p "$(dirname "$unit")"
sed "s|/usr/bin/poly2mqtt|$prefix/bin/poly2mqtt|" usr/lib/systemd/system/poly2mqtt.service >"$unit"
if ! [ -d "$dest/etc/poly2mqtt" ]; then
  mkdir -p "$dest/etc/poly2mqtt"
  if [ -z "$dest" ]; then
    chown root:poly2mqtt /etc/poly2mqtt
    chmod 2750 /etc/poly2mqtt
  fi
fi
if [ -d /run/systemd/system ] && [ -z "$dest" ]; then systemctl daemon-reload; fi
echo "poly2mqtt is installed in $prefix/bin. The first room: poly2mqtt add https://DEVICE"
echo "then: systemctl enable --now poly2mqtt"
