//! The directory: servers, favourites, entries, groups, searches, import and export.

use crate::catalogue::payload::{Field, Rule};
use crate::catalogue::state::State;
use crate::catalogue::{Class, Command, Kind, Operation, Plan, delete, get, post, put};

const INDEX: Rule = Rule::Integer {
    min: 1,
    max: 1_000_000,
};
const PAGE: &[Field] = &[
    Field::query("start", "start", INDEX),
    Field::query("limit", "limit", INDEX),
];
const ENTRY: &[Field] = &[
    Field::body(
        "type",
        "type",
        Rule::Word(&[("single", "SINGLE"), ("group", "GROUP")]),
    ),
    Field::body("display_name", "displayName", Rule::AnyText),
    Field::body("first_name", "firstName", Rule::AnyText),
    Field::body("last_name", "lastName", Rule::AnyText),
    Field::body("full_name", "fullName", Rule::AnyText),
    Field::body("email", "email", Rule::AnyText),
    Field::body("home_phone", "homePhone", Rule::AnyText),
    Field::body("work_phone", "workPhone", Rule::AnyText),
    Field::body("mobile_phone", "mobilePhone", Rule::AnyText),
    Field::body("image_location", "imageLocation", Rule::AnyText),
    Field::body("favorite", "favorite", Rule::Switch),
    Field::body("devices", "devices", Rule::List),
];
const DEVICE: &[Field] = &[Field::body("device_id", "deviceId", Rule::Text)];
const FAVORITE: &[Field] = &[Field::body("favorite", "favorite", Rule::Switch).required()];
const POSITION: &[Field] = &[Field::body("index", "index", INDEX).required()];
const MEMBER: &[Field] = &[Field::body("entry_id", "entryId", Rule::Text).required()];
const SEARCH: &[Field] = &[
    Field::body("search", "searchString", Rule::AnyText).required(),
    Field::body(
        "server_scope",
        "serverScope",
        Rule::Word(&[
            ("all", "ALL"),
            ("local", "LOCAL"),
            ("global", "GLOBAL"),
            ("favorites", "FAVORITES"),
        ]),
    ),
    Field::body(
        "entry_scope",
        "entryScope",
        Rule::Word(&[
            ("single", "SINGLE"),
            ("group", "GROUP"),
            ("any_tiered", "ANY_TIERED"),
            ("any", "ANY"),
        ]),
    ),
    Field::body(
        "group_scope",
        "groupScope",
        Rule::Word(&[("one_level", "ONE_LEVEL"), ("recursive", "RECURSIVE")]),
    ),
    Field::body(
        "order",
        "order",
        Rule::Word(&[
            ("first_name", "FIRST_NAME"),
            ("last_name", "LAST_NAME"),
            ("display_name", "DISPLAY_NAME"),
        ]),
    ),
    Field::body("group_id", "groupID", Rule::Text),
    Field::gateway("limit", Rule::Integer { min: 1, max: 1000 }),
];

/// What an entry takes, whichever server holds it.
macro_rules! dial {
    ($entry:literal) => {
        &[Command::new(concat!($entry, "/dial"))
            .fields(Some("device_id"), DEVICE)
            .fixed(&[("action", "dial")])
            .refresh(&["calls"])
            .once()
            .slow()]
    };
}
macro_rules! favorite {
    ($entry:literal) => {
        &[Command::new(concat!($entry, "/favorite/set"))
            .fields(Some("favorite"), FAVORITE)
            .refresh(&["directory/favorites"])]
    };
}
macro_rules! position {
    ($entry:literal) => {
        &[Command::new(concat!($entry, "/favorite/position/set"))
            .fields(Some("index"), POSITION)
            .refresh(&["directory/favorites"])]
    };
}
macro_rules! members {
    ($entry:literal) => {
        &[
            Command::new(concat!($entry, "/members/query")).fixed(&[("action", "query")]),
            Command::new(concat!($entry, "/members/add"))
                .fields(Some("entry_id"), MEMBER)
                .fixed(&[("action", "add")])
                .once(),
            Command::new(concat!($entry, "/members/remove"))
                .fields(Some("entry_id"), MEMBER)
                .fixed(&[("action", "remove")])
                .once(),
        ]
    };
}

pub(in crate::catalogue) const OPERATIONS: &[Operation] = &[
    get("59", "/rest/directory/favorites")
        .states(&[State::whole("directory/favorites")])
        .poll(Class::Slow)
        .commands(&[Command::new("directory/favorites/get").fields(None, PAGE)]),
    get("60", "/rest/directory/global/server")
        .states(&[State::whole("directory/global_server")])
        .poll(Class::Slow),
    get("61", "/rest/directory/global/mtddefaultgroupentry")
        .commands(&[Command::new("directory/global/default_group/get")]),
    get("62", "/rest/directory/local/server")
        .states(&[State::whole("directory/local_server")])
        .poll(Class::Slow),
    post("63", "/rest/directory/local/entries").commands(&[Command::new(
        "directory/local/entry/add",
    )
    .fields(None, ENTRY)
    .refresh(&["directory/favorites"])
    .once()]),
    get("64", "/rest/directory/local/entries/{entry_id}")
        .commands(&[Command::new("directory/local/entry/{entry_id}/get")]),
    delete("65", "/rest/directory/local/entries/{entry_id}")
        .commands(&[Command::new("directory/local/entry/{entry_id}/delete")
            .refresh(&["directory/favorites"])]),
    put("66", "/rest/directory/local/entries/{entry_id}").commands(&[Command::new(
        "directory/local/entry/{entry_id}/update",
    )
    .fields(None, ENTRY)
    .refresh(&["directory/favorites"])]),
    post("67", "/rest/directory/local/entries/{entry_id}")
        .commands(dial!("directory/local/entry/{entry_id}")),
    put("68", "/rest/directory/local/entries/{entry_id}/favorite")
        .commands(favorite!("directory/local/entry/{entry_id}")),
    post("69", "/rest/directory/local/entries/{entry_id}/favorite")
        .commands(position!("directory/local/entry/{entry_id}")),
    post("70", "/rest/directory/local/entries/{entry_id}/members")
        .commands(members!("directory/local/entry/{entry_id}")),
    post("71", "/rest/directory/queries").commands(&[
        Command::new("directory/query/create")
            .kind(Kind::Query)
            .fields(Some("search"), SEARCH)
            .once(),
        Command::new("directory/search")
            .kind(Kind::Query)
            .fields(Some("search"), SEARCH)
            .plan(Plan::Search)
            .once()
            .slow(),
    ]),
    get("72", "/rest/directory/queries/initial")
        .commands(&[Command::new("directory/query/initial")]),
    get("73", "/rest/directory/queries/{query_id}")
        .commands(&[Command::new("directory/query/{query_id}/get").fields(None, PAGE)]),
    delete("74", "/rest/directory/queries/{query_id}")
        .commands(&[Command::new("directory/query/{query_id}/delete")]),
    get("75", "/rest/directory/{server_id}/entries/{entry_id}")
        .commands(&[Command::new("directory/{server_id}/entry/{entry_id}/get")]),
    post("76", "/rest/directory/{server_id}/entries/{entry_id}")
        .commands(dial!("directory/{server_id}/entry/{entry_id}")),
    put(
        "77",
        "/rest/directory/{server_id}/entries/{entry_id}/favorite",
    )
    .commands(favorite!("directory/{server_id}/entry/{entry_id}")),
    post(
        "78",
        "/rest/directory/{server_id}/entries/{entry_id}/favorite",
    )
    .commands(position!("directory/{server_id}/entry/{entry_id}")),
    post(
        "79",
        "/rest/directory/{server_id}/entries/{entry_id}/members",
    )
    .commands(members!("directory/{server_id}/entry/{entry_id}")),
    put("80", "/rest/directory/import").commands(&[Command::new("directory/import")
        .bytes("application/xml")
        .refresh(&["directory/favorites"])
        .slow()]),
    get("81", "/rest/directory/export").commands(&[Command::new("directory/export")
        .binary("directory/export/file", "application/xml", false)
        .slow()]),
];
