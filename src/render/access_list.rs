//! The topics as an access list for Mosquitto: `examples/mosquitto.acl`.

use std::fmt::Write;

use crate::catalogue::{CATALOGUE, Payload, Route, Rule};

const HEAD: &str = "\
# Who may do what on a Mosquitto broker that rooms are reached through.
# Made from the gateway's catalogue by `poly2mqtt topics --acl`; use it with Mosquitto 2.0 or
# later:
#
#   allow_anonymous false
#   password_file /etc/mosquitto/passwords
#   acl_file /etc/mosquitto/poly2mqtt.acl
#
# What is not allowed here is refused. Where mqtt.topic_prefix is set, put it before every topic.
# To keep a user to some rooms, write the room's id for the + after room/ (and room/1/# for room/#).

# The gateway: takes commands, publishes states and results.
user gateway
topic readwrite room/#
topic write gateway/#
# MQTT 5 Response Topics; clients choose one below response/ and their own name.
topic write response/#
# Home Assistant's discovery, which it also reads, and Home Assistant's word that it has started.
topic readwrite homeassistant/device/+/config
topic read homeassistant/status

# A panel on a wall: sees everything and changes nothing.
user panel
topic read room/#
topic read gateway/#
# But not the passwords and PINs that others send.
";

const CONTROLLER: &str = "
# A controller: sees everything and sends commands, and can never forge a state or a result.
user controller
topic read room/#
topic read gateway/#
topic read response/controller/#
# For Home Assistant itself, take the # from these three.
#topic read homeassistant/#
#topic write homeassistant/status
#topic write homeassistant/device/+/config
";

const GUARDED: &str = "\
# Guarded: these change a device for good. Take the # from those the controller may send; the gateway
# still refuses them unless the room's allow names them.
";

/// The access list: one user for the gateway, one who only reads, one who also commands.
pub fn mosquitto_acl() -> String {
    let (guarded, free): (Vec<_>, Vec<_>) =
        CATALOGUE.routes().iter().partition(|route| route.guarded());
    let mut acl = HEAD.to_owned();
    for route in CATALOGUE.routes().iter().filter(|route| secret(route)) {
        // Writing to a String cannot fail.
        let _ = writeln!(acl, "topic deny {}", filter(route));
    }
    acl.push_str(CONTROLLER);
    for route in free {
        let _ = writeln!(acl, "topic write {}", filter(route));
    }
    acl.push_str(GUARDED);
    for route in guarded {
        let _ = writeln!(acl, "#topic write {}", filter(route));
    }
    acl
}

/// Its payload may hold what a reader must not see.
fn secret(route: &Route) -> bool {
    match route.command().payload {
        Payload::Fields { fields, .. } => fields
            .iter()
            .any(|field| matches!(field.rule, Rule::Secret)),
        _ => false,
    }
}

/// The filter of a topic in any room: every parameter is one level.
fn filter(route: &Route) -> String {
    let levels = route
        .topic
        .split('/')
        .map(|level| if level.starts_with('{') { "+" } else { level });
    let levels: Vec<_> = levels.collect();
    format!("room/+/{}", levels.join("/"))
}
