#!/usr/bin/env bash
# The public suite of the Eclipse Paho project against an MQTT broker: by default the gateway's own.
#
#   tests/paho.sh                   starts the gateway with its broker at a free port, and runs all tests
#   tests/paho.sh --port 1883       against a broker that runs at this port of this machine
#   tests/paho.sh retained will     only the tests whose names contain one of these words
#
# Needs Python 3 and git. POLY2MQTT names the program to test; without it, it is built. PAHO names a
# directory with the suite (https://github.com/eclipse-paho/paho.mqtt.testing); without it, the suite is
# cloned. docs/mqtt.md says which tests pass, and why others do not.
#
# The suite needs a broker that nobody else uses: it clears every retained message that it may clear.
# Each test has its own process and a minute.
set -euo pipefail
cd "$(dirname "$0")/.."

repository=https://github.com/eclipse-paho/paho.mqtt.testing
# The suite's version in docs/mqtt.md.
commit=9d7bb80bb8b9d9cfc0b52f8cb4c1916401281103

port=
words=()
while [ $# -gt 0 ]; do
    case $1 in
        --port) port=${2:?"--port needs a number"}; shift ;;
        -*) sed -n '2,/^set/s/^# \?//p' "$0"; exit 2 ;;
        *) words+=("$1") ;;
    esac
    shift
done

program=${POLY2MQTT:-}
# The gateway would take these for its configuration.
unset "${!POLY2MQTT_@}" POLY2MQTT

dir=$(mktemp -d)
gateway=
finish() {
    [ -z "$gateway" ] || kill "$gateway" 2> /dev/null || true
    rm -rf "$dir"
}
trap finish EXIT

suite=${PAHO:-}
if [ -z "$suite" ]; then
    suite=$dir/suite
    git clone --quiet "$repository" "$suite"
    git -C "$suite" checkout --quiet "$commit"
fi

listens() { (: < "/dev/tcp/127.0.0.1/$1") 2> /dev/null; }

if [ -z "$port" ]; then
    if [ -z "$program" ]; then
        cargo build --quiet
        program=target/debug/poly2mqtt
    fi
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    # With this prefix the gateway's retained messages are in no topic of the suite's.
    cat > "$dir/gateway.toml" << END
[mqtt]
url = "embedded://127.0.0.1:$port"
topic_prefix = "paho/suite"

[http]
listen = "off"
END
    "$program" run --config "$dir/gateway.toml" > "$dir/gateway.log" 2>&1 &
    gateway=$!
    for _ in $(seq 100); do
        listens "$port" && break
        sleep 0.1
    done
fi
listens "$port" || { echo "nothing listens at port $port" >&2; cat "$dir"/*.log >&2; exit 1; }

python3 tests/paho.py "$suite/interoperability" "$port" ${words[@]+"${words[@]}"}
