#!/bin/sh
# Starts the gateway as an app of Home Assistant: its configuration comes from the app's options or from
# /config/poly2mqtt.toml, its broker from the supervisor.
#
# In: /data/options.json, SUPERVISOR_TOKEN. No password is printed, or given as an argument.
set -eu

options=/data/options.json
own=/config/poly2mqtt.toml
# In memory (tmpfs), gone with the app.
made=/tmp/poly2mqtt
# The broker may still be starting when the app does.
broker_tries=12
broker_delay=5

say() { printf '%s\n' "$*" >&2; }
fail() { say "poly2mqtt: $*"; exit 1; }
option() { jq -r --arg name "$1" '.[$name] // empty' "$options"; }

[ -r "$options" ] || fail "$options cannot be read: start this as an app of Home Assistant"

# The broker: {"host","port","ssl","username","password"}, or nothing if there is none.
ask_for_broker() {
  # The header is read from a file, because arguments can be seen by every process.
  printf 'Authorization: Bearer %s\n' "${SUPERVISOR_TOKEN:-}" |
    curl -sS --max-time 10 -H @- http://supervisor/services/mqtt 2>/dev/null |
    jq -ce 'select(.result == "ok") | .data | select(.host)' 2>/dev/null
}

broker=
if [ "$(jq -r 'if has("broker") then .broker else true end' "$options")" = true ]; then
  tries=0
  until broker=$(ask_for_broker); do
    tries=$((tries + 1))
    [ "$tries" -lt "$broker_tries" ] ||
      fail "Home Assistant has no MQTT broker: install the app Mosquitto broker, or turn off \"Use Home Assistant's broker\""
    [ "$tries" -gt 1 ] || say "poly2mqtt: waiting for the MQTT broker of Home Assistant"
    sleep "$broker_delay"
  done
  field() { printf '%s' "$broker" | jq -r --arg name "$1" '.[$name] // empty'; }
  scheme=mqtt
  [ "$(field ssl)" != true ] || scheme=mqtts
  export POLY2MQTT_MQTT__URL="$scheme://$(field host):$(field port)"
  if [ -n "$(field username)" ]; then
    export POLY2MQTT_MQTT__USERNAME="$(field username)"
    export POLY2MQTT_MQTT__PASSWORD="$(field password)"
  fi
  say "poly2mqtt: the broker is $POLY2MQTT_MQTT__URL"
elif [ ! -e "$own" ]; then
  # Without a broker only the dashboard is left.
  export POLY2MQTT_MQTT__URL=off
fi

# The ingress reaches the gateway through the proxy in this container. On the network the gateway wants tokens.
if [ "$(option network)" = true ]; then
  export POLY2MQTT_HTTP__LISTEN=0.0.0.0:8080
else
  export POLY2MQTT_HTTP__LISTEN=127.0.0.1:8080
fi
level=$(option log)
[ -z "$level" ] || export POLY2MQTT_LOG="$level"

umask 077
mkdir -p "$made"
if [ -e "$own" ]; then
  say "poly2mqtt: the configuration is poly2mqtt.toml; the rooms of the options are not used"
  config=$own
else
  [ "$(jq '.rooms | length' "$options")" -gt 0 ] ||
    fail "there is no room: add one in the app's options, or put poly2mqtt.toml into its configuration folder"
  # A text of JSON is a text of TOML.
  jq -r '
    .rooms[] | "[rooms.\(.id | tojson)]",
    (to_entries[] | select(.key != "id" and .value != null and .value != "") | "\(.key) = \(.value | tojson)"),
    ""' "$options" >"$made/poly2mqtt.toml"
  config=$made/poly2mqtt.toml
fi
export POLY2MQTT_CONFIG="$config"
nginx
# Files of the configuration belong to root, so the gateway is root too, but without any of its rights.
exec setpriv --no-new-privs --bounding-set=-all --inh-caps=-all poly2mqtt run
