//! The directory: servers, favourites, entries, groups, searches, import and export.

use crate::catalogue::areas::conferences;
use crate::catalogue::command::{Command, Plan, TopicKind};
use crate::catalogue::field::{Field, Rule};
use crate::catalogue::list::ListMembers;
use crate::catalogue::operation::{Class, Operation, delete, get, post, put};
use crate::catalogue::state::{Shape, State};

/// The states of this area.
pub(in crate::catalogue) mod states {
    use crate::catalogue::references::StateTopic;

    pub const FAVORITES: StateTopic = StateTopic::new("directory/favorites");
    pub const GLOBAL_SERVER: StateTopic = StateTopic::new("directory/global_server");
    pub const LOCAL_SERVER: StateTopic = StateTopic::new("directory/local_server");
}

/// The commands of this area that plans refer to.
pub(in crate::catalogue) mod commands {
    use crate::catalogue::references::CommandTopic;

    pub const CREATE_QUERY: CommandTopic = CommandTopic::new("directory/query/create");
    pub const GET_QUERY: CommandTopic = CommandTopic::new("directory/query/{query_id}/get");
    pub const DELETE_QUERY: CommandTopic = CommandTopic::new("directory/query/{query_id}/delete");
}

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
    Field::body(
        "devices",
        "devices",
        Rule::List(ListMembers {
            texts: &["name", "type", "number", "extension", "rate"],
            integers: &[],
        }),
    ),
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

/// The commands of an entry, the same for every server.
macro_rules! dial {
    ($entry:literal) => {
        &[Command::new(concat!($entry, "/dial"))
            .fields(Some("device_id"), DEVICE)
            .fixed(&[("action", "dial")])
            .refresh(&[conferences::states::CALLS])
            .once()
            .slow()]
    };
}
macro_rules! favorite {
    ($entry:literal) => {
        &[Command::new(concat!($entry, "/favorite/set"))
            .fields(Some("favorite"), FAVORITE)
            .refresh(&[states::FAVORITES])]
    };
}
macro_rules! position {
    ($entry:literal) => {
        &[Command::new(concat!($entry, "/favorite/position/set"))
            .fields(Some("index"), POSITION)
            .refresh(&[states::FAVORITES])]
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
    get("/rest/directory/favorites")
        .shape(Shape::Object)
        .states(&[State::whole(states::FAVORITES)])
        .poll(Class::Slow)
        .commands(&[Command::new("directory/favorites/get").fields(None, PAGE)]),
    get("/rest/directory/global/server")
        .shape(Shape::Object)
        .states(&[State::whole(states::GLOBAL_SERVER)])
        .poll(Class::Slow),
    get("/rest/directory/global/mtddefaultgroupentry")
        .commands(&[Command::new("directory/global/default_group/get")]),
    get("/rest/directory/local/server")
        .shape(Shape::Object)
        .states(&[State::whole(states::LOCAL_SERVER)])
        .poll(Class::Slow),
    post("/rest/directory/local/entries").commands(&[Command::new("directory/local/entry/add")
        .fields(None, ENTRY)
        .refresh(&[states::FAVORITES])
        .once()]),
    get("/rest/directory/local/entries/{entry_id}")
        .commands(&[Command::new("directory/local/entry/{entry_id}/get")]),
    delete("/rest/directory/local/entries/{entry_id}")
        .commands(&[
            Command::new("directory/local/entry/{entry_id}/delete").refresh(&[states::FAVORITES])
        ]),
    put("/rest/directory/local/entries/{entry_id}").commands(&[Command::new(
        "directory/local/entry/{entry_id}/update",
    )
    .fields(None, ENTRY)
    .refresh(&[states::FAVORITES])]),
    post("/rest/directory/local/entries/{entry_id}")
        .commands(dial!("directory/local/entry/{entry_id}")),
    put("/rest/directory/local/entries/{entry_id}/favorite")
        .commands(favorite!("directory/local/entry/{entry_id}")),
    post("/rest/directory/local/entries/{entry_id}/favorite")
        .commands(position!("directory/local/entry/{entry_id}")),
    post("/rest/directory/local/entries/{entry_id}/members")
        .commands(members!("directory/local/entry/{entry_id}")),
    post("/rest/directory/queries").commands(&[
        Command::new(commands::CREATE_QUERY.as_str())
            .kind(TopicKind::Query)
            .fields(Some("search"), SEARCH)
            .once(),
        Command::new("directory/search")
            .kind(TopicKind::Query)
            .fields(Some("search"), SEARCH)
            .plan(Plan::Search)
            .once()
            .slow(),
    ]),
    get("/rest/directory/queries/initial").commands(&[Command::new("directory/query/initial")]),
    get("/rest/directory/queries/{query_id}")
        .commands(&[Command::new(commands::GET_QUERY.as_str()).fields(None, PAGE)]),
    delete("/rest/directory/queries/{query_id}")
        .commands(&[Command::new(commands::DELETE_QUERY.as_str())]),
    get("/rest/directory/{server_id}/entries/{entry_id}")
        .commands(&[Command::new("directory/{server_id}/entry/{entry_id}/get")]),
    post("/rest/directory/{server_id}/entries/{entry_id}")
        .commands(dial!("directory/{server_id}/entry/{entry_id}")),
    put("/rest/directory/{server_id}/entries/{entry_id}/favorite")
        .commands(favorite!("directory/{server_id}/entry/{entry_id}")),
    post("/rest/directory/{server_id}/entries/{entry_id}/favorite")
        .commands(position!("directory/{server_id}/entry/{entry_id}")),
    post("/rest/directory/{server_id}/entries/{entry_id}/members")
        .commands(members!("directory/{server_id}/entry/{entry_id}")),
    put("/rest/directory/import").commands(&[Command::new("directory/import")
        .bytes("application/xml")
        .refresh(&[states::FAVORITES])
        .slow()]),
    get("/rest/directory/export").commands(&[Command::new("directory/export")
        .file("directory/export/file", "application/xml", false)
        .slow()]),
];
