#!/usr/bin/env bash
# The part of tests/package.sh that runs inside the clean Debian: `package_inside.sh package|tarball DEB TARBALL`.
# It uses nothing that a new Debian lacks; HTTP is spoken by bash itself.
set -euo pipefail
way=$1 deb=$2 tarball=$3
cd /root

now() { date +%s%N; }
started=$(now)
say() { printf '%6s s  %s\n' "$(printf '%d.%02d' $((($(now) - started) / 1000000000)) $((($(now) - started) / 10000000 % 100)))" "$*"; }
fail() { say "FAILED: $*"; exit 1; }
# Runs a command and shows it as a transcript.
run() { say "# $*"; "$@" 2>&1 | sed 's/^/            /'; }
# Everything in the file system but what the package manager writes down for itself.
listing() {
  find / -xdev \( -path /proc -o -path /dev -o -path /sys -o -path /root -o -path /tmp -o -path /run -o -path /var/lib/dpkg \
    -o -path /var/log -o -path /var/cache -o -path '/etc/*-' \) -prune -o -print | sort
}
# http METHOD PATH [BODY]: the answer's body.
http() {
  exec 3<>/dev/tcp/127.0.0.1/8080
  printf '%s %s HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s' \
    "$1" "$2" "${#3}" "$3" >&3
  sed '1,/^\r$/d' <&3
  exec 3>&-
}
until_so() { # until_so WHAT COMMAND…: waits until the command succeeds, at most 20 seconds
  local what=$1; shift
  for _ in $(seq 200); do "$@" >/dev/null 2>&1 && return; sleep 0.1; done
  fail "$what"
}
answers() { [ "$(http GET "$1" "")" = "$2" ]; }
# The command of the unit, as the user of the unit.
start_gateway() {
  local unit=$1 command
  command=$(sed -n 's/^ExecStart=//p' "$unit")
  say "# $command   (as its user)"
  setpriv --reuid poly2mqtt --regid poly2mqtt --clear-groups --no-new-privs $command 2>/root/gateway.log &
  gateway=$!
}
stop_gateway() { kill "$gateway"; wait "$gateway" || fail "the gateway ended with $?"; }

# From an installed program to a muted room: what docs/install.md says.
mute_a_room() {
  local unit=$1
  [ -z "$(ls -A /etc/poly2mqtt)" ] || fail "/etc/poly2mqtt is not empty"
  run stat -c '%A %U:%G %n' /etc/poly2mqtt
  poly2mqtt simulate --rooms 1 >/dev/null 2>&1 &
  simulator=$!
  until_so "the simulator listens" bash -c ': </dev/tcp/127.0.0.1/8443'
  say "# poly2mqtt add https://127.0.0.1:8443 --id boardroom"
  echo 456 | poly2mqtt add https://127.0.0.1:8443 --id boardroom 2>&1 | sed 's/^/            /'
  run stat -c '%A %U:%G %n' /etc/poly2mqtt/poly2mqtt.toml
  setpriv --reuid nobody --regid nogroup --clear-groups cat /etc/poly2mqtt/poly2mqtt.toml 2>/dev/null \
    && fail "everybody can read the configuration"
  run poly2mqtt check --connect
  start_gateway "$unit"
  until_so "the room is online" answers /room/boardroom/availability online
  say "# POST /room/boardroom/audio/muted/set true"
  http POST /room/boardroom/audio/muted/set true | sed 's/^/            /'
  echo
  answers /room/boardroom/audio/muted true || fail "the room is not muted: $(http GET /room/boardroom/audio/muted "")"
  say "the room is muted"
}

listing >before.txt
case $way in
  package)
    run dpkg -i "$deb"
    unit=/lib/systemd/system/poly2mqtt.service
    [ -z "$(find /etc/systemd -name 'poly2mqtt*')" ] || fail "the unit is enabled without a configuration"
    run getent passwd poly2mqtt
    run poly2mqtt --version
    grep -q '^Copyright: ' /usr/share/doc/poly2mqtt/copyright || fail "a copyright without names"
    for file in man/man1/poly2mqtt.1.gz man/man1/poly2mqtt-check.1.gz bash-completion/completions/poly2mqtt \
      zsh/vendor-completions/_poly2mqtt doc/poly2mqtt/examples/poly2mqtt.toml; do
      # A minimal Debian may leave documentation out of every package.
      grep -qs "path-exclude" /etc/dpkg/dpkg.cfg.d/* || [ -s "/usr/share/$file" ] || fail "no $file"
    done
    mute_a_room "$unit"
    stat -c '%i %A %U:%G %n' /etc/poly2mqtt/* >kept.txt
    run dpkg -i newer.deb
    stat -c '%i %A %U:%G %n' /etc/poly2mqtt/* | diff kept.txt - || fail "the upgrade changed the configuration"
    answers /room/boardroom/audio/muted true || fail "the running gateway noticed the upgrade"
    stop_gateway
    start_gateway "$unit"
    until_so "the room is online after the upgrade" answers /room/boardroom/audio/muted true
    say "the upgraded gateway has the room"
    stop_gateway
    run dpkg --remove poly2mqtt
    [ -s /etc/poly2mqtt/poly2mqtt.toml ] || fail "removing took the configuration away"
    run dpkg --purge poly2mqtt
    ;;
  tarball)
    run tar xzf "$tarball"
    folder=$(basename "$tarball" .tar.gz)
    run "./$folder/install.sh"
    unit=/etc/systemd/system/poly2mqtt.service
    run poly2mqtt --version
    mute_a_room "$unit"
    run "./$folder/install.sh"
    stop_gateway
    run "./$folder/install.sh" --remove
    [ -s /etc/poly2mqtt/poly2mqtt.toml ] || fail "removing took the configuration away"
    rm -r /etc/poly2mqtt
    ;;
esac
kill "$simulator"
wait "$simulator" || true
getent passwd poly2mqtt && fail "the user is still there"
getent group poly2mqtt && fail "the group is still there"
listing >after.txt
# The folders of /usr/local that the tarball makes stay, empty.
if left=$(comm -13 before.txt after.txt | while read -r path; do
  [ "$way" = tarball ] && [ -d "$path" ] && [ -z "$(find "$path" ! -type d)" ] || echo "$path"
done) && [ -n "$left" ]; then
  fail "left behind: $left"
fi
say "nothing is left behind"
