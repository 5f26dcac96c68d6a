#!/bin/sh
# Starts the app of Home Assistant as the supervisor would, and uses it through the ingress.
#
# usage, as root: tests/containers/app.sh ROOT PROGRAM
#   ROOT     a copy of the image's files, such as what `buildah mount` shows of it; files are made in its /data
#   PROGRAM  a built poly2mqtt, which plays the device
# Needs Mosquitto and its clients, curl, and Python with aiohttp (PYTHON names another one). Everything happens in a
# network of its own.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
[ "$#" = 2 ] || { echo "usage: app.sh ROOT PROGRAM" >&2; exit 1; }
if [ -z "${POLY2MQTT_TEST_INSIDE:-}" ]; then
  POLY2MQTT_TEST_INSIDE=1 exec unshare -n -m --propagation private "$here/app.sh" "$@"
fi
root=$1 program=$2
work=$(mktemp -d)
started=
end() {
  for pid in $started; do kill "$pid" 2>/dev/null || true; done
  rm -rf "$work"
}
trap end EXIT
failed=0
# say NAME GOT WANTED
same() {
  if [ "$2" = "$3" ]; then echo "ok    $1"; else echo "WRONG $1: $2, not $3"; failed=1; fi
}

ip link set lo up
# Home Assistant, the supervisor, the broker, the app, the device.
for address in 172.30.32.1 172.30.32.2 172.30.33.1 172.30.33.5 172.30.33.9; do
  ip addr add "$address/32" dev lo
done
cat >"$work/hosts" <<END
127.0.0.1 localhost
172.30.32.1 homeassistant.local
172.30.32.2 supervisor
172.30.33.1 core-mosquitto
END
mount --bind "$work/hosts" /etc/hosts
mount --bind "$work/hosts" "$root/etc/hosts"
mount -t tmpfs none "$root/tmp"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"

# A password with everything that a shell or TOML could stumble over.
password="pa ss\"'\$x\\"
touch "$work/passwords"
chmod 600 "$work/passwords"
mosquitto_passwd -b "$work/passwords" addons "$password"
printf 'listener 1883 172.30.33.1\nallow_anonymous false\npassword_file %s\nuser root\n' "$work/passwords" \
  >"$work/mosquitto.conf"
mosquitto -c "$work/mosquitto.conf" >"$work/mosquitto.log" 2>&1 & started="$started $!"
"$program" simulate --listen 172.30.33.9:8443 --control 172.30.33.9:8442 >"$work/device.log" 2>&1 &
started="$started $!"
"${PYTHON:-python3}" "$here/supervisor.py" 172.30.33.5 "$password" >"$work/supervisor.log" 2>&1 &
started="$started $!"
tries=0
until grep -q certificate "$work/device.log" && curl -s -o "$work/answer" http://supervisor/services/mqtt; do
  tries=$((tries + 1))
  [ "$tries" -lt 60 ] || { cat "$work/device.log" "$work/supervisor.log"; exit 1; }
  sleep 0.5
done
fingerprint=$(sed -n 's/^device 1: .* certificate //p' "$work/device.log")

mkdir -p "$root/data" "$root/config"
cat >"$root/data/options.json" <<END
{"broker": true, "network": false, "rooms": [{"id": "board-1", "name": "Board \"room\" ü", "user": "",
 "url": "https://172.30.33.9:8443", "password": "456", "certificate": "$fingerprint"}]}
END
chmod 600 "$root/data/options.json"
env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin SUPERVISOR_TOKEN=supervisor-token \
  chroot "$root" run.sh >"$work/app.log" 2>&1 &
app=$!
started="$started $app"

base=http://homeassistant.local:8123/api/hassio_ingress/tok-en_9
tries=0
until curl -s "$base/readyz" | grep -q '"rooms_online":1'; do
  tries=$((tries + 1))
  [ "$tries" -lt 120 ] || { cat "$work/app.log"; exit 1; }
  sleep 0.5
done
status() { curl -s -o /dev/null -w '%{http_code}' "$@" || true; }
same "the dashboard below the ingress" "$(status "$base/")" 200
muted="$base/room/board-1/audio/muted"
same "a command of the page" "$(status -d true -H 'Origin: http://homeassistant.local:8123' "$muted/set")" 200
same "the device is muted" "$(curl -s "$muted")" true
same "a command of another origin" "$(status -d false -H 'Origin: http://evil.example' "$muted/set")" 403
same "another app" "$(status --interface 172.30.33.1 http://172.30.33.5:8099/)" 403
same "the gateway's port from outside" "$(status http://172.30.33.5:8080/)" 000
same "the watchdog" "$(status --interface 172.30.32.2 http://172.30.33.5:8099/healthz)" 200
same "the state at the broker" "$(mosquitto_sub -h core-mosquitto -u addons -P "$password" \
  -t room/board-1/audio/muted -C 1 -W 10)" true
same "the mode of the configuration" "$(stat -c %a "$root/tmp/poly2mqtt/poly2mqtt.toml")" 600
same "the gateway's capabilities" "$(sed -n 's/^CapEff:\t//p' "/proc/$app/status")" 0000000000000000
same "passwords in the log" "$(grep -c -F -e "$password" -e '"456"' "$work/app.log")" 0
kill "$app"
code=0
wait "$app" || code=$?
same "the exit status" "$code" 0
started="$started $(cat "$root/tmp/nginx.pid")"
exit "$failed"
