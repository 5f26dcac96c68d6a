//! `GET /room/<room>/commands`: everything that can be asked of a room, for those who generate clients.
//!
//! Owns the form of the list. What each topic means and takes comes from the catalogue; whether the client
//! may send it, from its token and the room's `allow`. A room that the client may not see is told of as
//! everywhere below `/room`.

use std::sync::{Arc, LazyLock};

use axum::extract::{Path, State};
use axum::response::Response;
use serde_json::{Value, json};

use super::authorization::Authorized;
use super::room_request::RoomRequest;
use super::rooms::{info, other_room, unknown_room};
use super::{HttpState, response};
use crate::catalogue::{CATALOGUE, Route};
use crate::command::CommandAuthority;
use crate::render::{console, console_command};
use crate::topics::RoomTopics;

/// The commands and queries of a room, what the parameters in their topics are, and what its states mean.
pub async fn commands(
    State(state): State<Arc<HttpState>>,
    Authorized { grant, .. }: Authorized,
    Path(room): Path<String>,
) -> Response {
    if !grant.sees(&room) {
        return other_room(&grant, &room);
    }
    let info = info(&state);
    if info["rooms"].get(&room).is_none() {
        return unknown_room(&state, &grant, &room);
    }
    let authority = grant.authority(&room).ok();
    let allow = &info["configuration"]["rooms"][&room]["allow"];
    let topics = RoomTopics::new(&room);
    let listed = |(route, text): &(&Route, String)| {
        let url = json!(format!("/{}", topics.below(&route.topic)));
        let allowed = is_allowed(authority, route, allow);
        format!("{text},\"url\":{url},\"allowed\":{allowed}}}")
    };
    let commands: Vec<String> = LISTED.commands.iter().map(listed).collect();
    let commands = commands.join(",");
    let (room, rest) = (json!(room), &LISTED.rest);
    let body = format!("{{\"room\":{room},\"commands\":[{commands}],{rest}}}");
    response::text("application/json", body)
}

/// What is the same for every room, as JSON. Made once: it takes milliseconds.
struct Listed {
    /// Each command without what depends on room and client, and without its closing brace.
    commands: Vec<(&'static Route, String)>,
    /// The members that follow the commands.
    rest: String,
}

static LISTED: LazyLock<Listed> = LazyLock::new(|| {
    let command = |route: &'static Route| {
        let mut command = console_command(route);
        // No room has to do with the method.
        let reads = RoomRequest::new("", &route.topic).only_reads();
        command["method"] = if reads { "GET" } else { "POST" }.into();
        let mut text = command.to_string();
        text.pop();
        (route, text)
    };
    let words = console();
    let (parameters, states) = (&words["parameters"], &words["states"]);
    Listed {
        commands: CATALOGUE.routes().iter().map(command).collect(),
        rest: format!("\"parameters\":{parameters},\"states\":{states}"),
    }
});

/// Whether a sender with this authority may give a command. `allow` is the room's list.
fn is_allowed(authority: Option<CommandAuthority>, route: &Route, allow: &Value) -> bool {
    match authority {
        None => false,
        Some(CommandAuthority::Admin) => true,
        Some(CommandAuthority::Ordinary) => !route.guarded(),
        Some(CommandAuthority::RoomAllows) => {
            let mut allowed = allow.as_array().into_iter().flatten();
            !route.guarded() || allowed.any(|topic| *topic == route.topic.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guarded_command_is_allowed_to_administrators_and_where_the_room_allows_it() {
        let route = |topic: &str| CATALOGUE.pattern(topic).unwrap();
        let (mute, reboot) = (route("audio/mute"), route("system/reboot"));
        let (allow, nothing) = (json!(["system/reboot"]), json!([]));
        for (authority, may_mute, may_reboot) in [
            (None, false, [false, false]),
            (Some(CommandAuthority::Ordinary), true, [false, false]),
            (Some(CommandAuthority::RoomAllows), true, [true, false]),
            (Some(CommandAuthority::Admin), true, [true, true]),
        ] {
            assert_eq!(is_allowed(authority, mute, &nothing), may_mute);
            let reboots = [&allow, &nothing].map(|allow| is_allowed(authority, reboot, allow));
            assert_eq!(reboots, may_reboot, "{authority:?}");
        }
    }
}
