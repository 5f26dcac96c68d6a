#!/usr/bin/env bash
# The clients in examples/, each run against a gateway with a simulated device.
#
#   tests/clients.sh                       all of them; what lacks its interpreter is skipped and said
#   tests/clients.sh qsys companion        some of them
#   tests/clients.sh --install             installs the interpreters first (Debian's packages, npm's)
#
# POLY2MQTT names the program to test; without it, it is built. With POLY2MQTT_TEST_CLIENTS=required
# a missing interpreter is a failure.
set -euo pipefail
cd "$(dirname "$0")/.."

required=${POLY2MQTT_TEST_CLIENTS:-}
# The gateway would take these for its configuration.
unset "${!POLY2MQTT_@}"

all=(qsys companion crestron)
parts=()
install=
for word in "$@"; do
    case $word in
        --install) install=yes ;;
        qsys | companion | crestron) parts+=("$word") ;;
        *) echo "usage: tests/clients.sh [--install] [${all[*]}]" >&2; exit 2 ;;
    esac
done
[ ${#parts[@]} -gt 0 ] || parts=("${all[@]}")

have() { command -v "$1" > /dev/null; }
node_is_new() { have node && node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)'; }
lua_has_modules() { lua5.3 -e 'require "socket" require "dkjson"' 2> /dev/null; }

# What a part needs, and how to get it.
missing() {
    case $1 in
        qsys) have lua5.3 && lua_has_modules || echo "apt install lua5.3 lua-socket lua-dkjson" ;;
        companion)
            if ! node_is_new; then echo "Node.js 20 or newer"
            elif [ ! -d examples/companion/node_modules ]; then
                echo "npm install --prefix examples/companion"
            fi ;;
        crestron) have mcs && have mono || echo "apt install mono-mcs mono-runtime" ;;
    esac
}

get() {
    case $1 in
        qsys) apt-get install -y --no-install-recommends lua5.3 lua-socket lua-dkjson ;;
        companion) npm install --prefix examples/companion --no-audit --no-fund ;;
        crestron) apt-get install -y --no-install-recommends mono-mcs mono-runtime ;;
    esac
}

run() {
    case $1 in
        qsys) lua5.3 examples/qsys/test/run.lua ;;
        companion)
            # Companion's own Node.js is 22, which has WebSocket without asking.
            local options=
            [ "$(node -p 'typeof WebSocket')" = function ] || options=--experimental-websocket
            [ -z "$TLS_PORT" ] || export NODE_EXTRA_CA_CERTS=$CLIENTS_DIR/tls/certificate.pem
            NODE_OPTIONS=$options node --test --test-reporter=spec examples/companion/test/*.test.js ;;
        crestron)
            local compile="mcs -warnaserror -langversion:5 examples/crestron/PolyRoom.cs"
            $compile -out:"$CLIENTS_DIR/example.exe" examples/crestron/Example.cs &&
                $compile -out:"$CLIENTS_DIR/test.exe" examples/crestron/test/Test.cs &&
                mono "$CLIENTS_DIR/test.exe" "$CLIENTS_DIR/example.exe" ;;
    esac
}

if [ -z "${POLY2MQTT:-}" ]; then
    cargo build --quiet --locked
    POLY2MQTT=${CARGO_TARGET_DIR:-target}/debug/poly2mqtt
fi
POLY2MQTT=$(realpath "$POLY2MQTT")
gateway=$PWD/tests/clients/gateway.sh
export POLY2MQTT GATEWAY=$gateway CLIENTS_DIR= SIMULATOR= TLS_PORT= TLS_CERTIFICATE= TLS_HTTP_PORT=

finish() {
    [ -z "$TLS_PORT" ] || CLIENTS_DIR=$CLIENTS_DIR/tls "$gateway" stop
    TLS_PORT=
    [ -z "$CLIENTS_DIR" ] || { "$gateway" stop; rm -rf "$CLIENTS_DIR"; }
    [ -z "$SIMULATOR" ] || kill "$SIMULATOR" 2> /dev/null || true
    CLIENTS_DIR= SIMULATOR=
}
trap finish EXIT
trap 'exit 1' INT TERM

# A port below those that the system hands out, so that it stays free until it is used.
free_port() {
    local port
    while true; do
        port=$((RANDOM % 10000 + 20000))
        (exec 3<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null || { echo "$port"; return; }
    done
}

# A device, and a gateway that wants a token; what a client's test needs to know is exported.
begin() {
    CLIENTS_DIR=$(mktemp -d)
    local device control
    device=$(free_port) control=$(free_port)
    export HTTP_PORT TCP_PORT TOKEN='open sesame & 100%' CONTROL=http://127.0.0.1:$control/1
    HTTP_PORT=$(free_port) TCP_PORT=$(free_port)
    "$POLY2MQTT" simulate --listen "127.0.0.1:$device" --control "127.0.0.1:$control" \
        > "$CLIENTS_DIR/simulator.log" 2>&1 &
    SIMULATOR=$!
    cat > "$CLIENTS_DIR/poly2mqtt.toml" <<END
[mqtt]
url = "off"
[http]
listen = "127.0.0.1:$HTTP_PORT"
[[http.token]]
name = "clients"
token = "$TOKEN"
[tcp]
listen = "127.0.0.1:$TCP_PORT"
[poll]
fast = "500ms"
normal = "1s"
[rooms.1]
url = "https://127.0.0.1:$device"
password = "456"
certificate = "insecure"
presets = { 1 = "Whole table", 3 = "Lectern" }
END
    "$gateway" start
    begin_tls "$device"
}

# A second gateway to the same device, with TLS at both ports and a certificate of its own.
begin_tls() {
    have openssl || return 0
    local dir=$CLIENTS_DIR/tls
    mkdir "$dir"
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1 \
        -keyout "$dir/key.pem" -out "$dir/certificate.pem" 2> /dev/null
    TLS_CERTIFICATE=$(openssl x509 -in "$dir/certificate.pem" -noout -fingerprint -sha256 | sed 's/.*=//')
    TLS_HTTP_PORT=$(free_port) TLS_PORT=$(free_port)
    sed -e "s/127.0.0.1:$HTTP_PORT/127.0.0.1:$TLS_HTTP_PORT/" -e "s/127.0.0.1:$TCP_PORT/127.0.0.1:$TLS_PORT/" \
        -e "s|^\[http\]|&\ntls_cert_file = '$dir/certificate.pem'\ntls_key_file = '$dir/key.pem'|" \
        -e 's/^\[tcp\]/&\ntls = true/' "$CLIENTS_DIR/poly2mqtt.toml" > "$dir/poly2mqtt.toml"
    CLIENTS_DIR=$dir TCP_PORT=$TLS_PORT "$gateway" start
}

failed=()
for part in "${parts[@]}"; do
    echo "== $part"
    if [ -n "$install" ] && [ -n "$(missing "$part")" ]; then get "$part"; fi
    need=$(missing "$part")
    if [ -n "$need" ]; then
        echo "SKIPPED: $part needs: $need"
        [ "$required" != required ] || failed+=("$part")
        continue
    fi
    begin
    run "$part" || { failed+=("$part"); tail -n 20 "$CLIENTS_DIR"/*.log; }
    finish
done
if [ ${#failed[@]} -gt 0 ]; then
    echo "FAILED: ${failed[*]}"
    exit 1
fi
