#!/usr/bin/env bash
# The gateway of tests/clients.sh: `start` returns when it takes connections, `stop` when it is gone.
# Between `freeze` and `thaw` it says nothing at all. The clients' tests call it too, to see how they
# come through all that.
set -euo pipefail
pid_file=$CLIENTS_DIR/gateway.pid
case ${1:-} in
    start)
        "$POLY2MQTT" run --config "$CLIENTS_DIR/poly2mqtt.toml" >> "$CLIENTS_DIR/gateway.log" 2>&1 &
        echo $! > "$pid_file"
        for _ in $(seq 300); do
            (exec 3<> "/dev/tcp/127.0.0.1/$TCP_PORT") 2> /dev/null && exit
            kill -0 $! 2> /dev/null || break
            sleep 0.1
        done
        echo "the gateway does not start:" >&2
        cat "$CLIENTS_DIR/gateway.log" >&2
        exit 1 ;;
    stop)
        [ -f "$pid_file" ] || exit 0
        pid=$(cat "$pid_file")
        rm "$pid_file"
        kill -CONT "$pid" 2> /dev/null || exit 0
        kill "$pid" 2> /dev/null || exit 0
        for _ in $(seq 200); do
            # Gone, or waiting for nobody but its parent.
            case $(ps -o stat= -p "$pid") in "" | Z*) exit ;; esac
            sleep 0.05
        done
        kill -KILL "$pid" ;;
    freeze) kill -STOP "$(cat "$pid_file")" ;;
    thaw) kill -CONT "$(cat "$pid_file")" ;;
    *) echo "usage: gateway.sh start|stop|freeze|thaw" >&2; exit 2 ;;
esac
