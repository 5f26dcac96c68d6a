//! The directory: servers, favourites, entries, groups, searches, import and export.

use crate::catalogue::areas::conferences;
use crate::catalogue::command::{Command, Plan, TopicKind};
use crate::catalogue::field::{Field, Rule};
use crate::catalogue::file::FileSpec;
use crate::catalogue::list::ListMembers;
use crate::catalogue::operation::{Class, Operation, delete, get, post, put};
use crate::catalogue::state::{Context, Shape, State};
use crate::catalogue::step::Step;
use crate::command::{ErrorCode, Failure};

/// The states of this area.
pub(in crate::catalogue) mod states {
    use crate::catalogue::references::StateTopic;

    pub const FAVORITES: StateTopic = StateTopic::new(
        "directory/favorites",
        "The favourites of the directory, at most 100, as `entries`; the `index` of each is its \
         place in the list, counted from 1.",
    );
    pub const GLOBAL_SERVER: StateTopic = StateTopic::new(
        "directory/global_server",
        "The organisation's directory server: `address`, `protocol`, and whether it is connected.",
    );
    pub const LOCAL_SERVER: StateTopic = StateTopic::new(
        "directory/local_server",
        "The directory that the device itself keeps: its `id`, `protocol`, and whether it works.",
    );
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
    Field::query(
        "start",
        "start",
        "The number of the first entry that is answered, counted from 1; 1 if left out.",
        INDEX,
    ),
    Field::query(
        "limit",
        "limit",
        "How many entries are answered at most; the guide says one if it is left out.",
        INDEX,
    ),
];
const ADDRESSES: ListMembers = ListMembers {
    members: &[
        (
            "type",
            Rule::Word(&[
                ("ip_address", "IP_ADDRESS"),
                ("ip_extension", "IP_EXTENSION"),
                ("h323_name", "H323_NAME"),
                ("sip", "SIP"),
                ("pots", "POTS"),
                ("isdn", "ISDN"),
                ("email", "EMAIL"),
                ("telephone", "TELEPHONE"),
                ("mobile", "MOBILE"),
            ]),
        ),
        ("number", Rule::AnyText),
        ("extension", Rule::AnyText),
        ("rate", Rule::AnyText),
    ],
    required: None,
};
const ENTRY: &[Field] = &[
    Field::body(
        "type",
        "type",
        "Whether the entry is a person or room (`single`) or a `group`.",
        Rule::Word(&[("single", "SINGLE"), ("group", "GROUP")]),
    ),
    Field::body(
        "display_name",
        "displayName",
        "The name that lists show.",
        Rule::AnyText,
    ),
    Field::body(
        "first_name",
        "firstName",
        "The person's first name.",
        Rule::AnyText,
    ),
    Field::body(
        "last_name",
        "lastName",
        "The person's last name.",
        Rule::AnyText,
    ),
    Field::body(
        "full_name",
        "fullName",
        "The person's full name.",
        Rule::AnyText,
    ),
    Field::body(
        "email",
        "email",
        "The person's e-mail address.",
        Rule::AnyText,
    ),
    Field::body(
        "home_phone",
        "homePhone",
        "The telephone number at home.",
        Rule::AnyText,
    ),
    Field::body(
        "work_phone",
        "workPhone",
        "The telephone number at work.",
        Rule::AnyText,
    ),
    Field::body(
        "mobile_phone",
        "mobilePhone",
        "The number of the mobile telephone.",
        Rule::AnyText,
    ),
    Field::body(
        "image_location",
        "imageLocation",
        "The address (URL) of a picture for the entry.",
        Rule::AnyText,
    ),
    Field::body(
        "favorite",
        "favorite",
        "Whether the new entry is among the favourites.",
        Rule::Switch,
    ),
    Field::body(
        "devices",
        "devices",
        "What can be called, as a list of devices with `name` and `addressList` (`type`, `number`, \
         `extension`, `rate`).",
        Rule::List(ListMembers {
            members: &[
                ("name", Rule::AnyText),
                ("addressList", Rule::List(ADDRESSES)),
            ],
            required: None,
        }),
    ),
];
const DEVICE: &[Field] = &[Field::body(
    "device_id",
    "deviceId",
    "Which of the entry's devices is called, by its `id`; the device chooses if it is left out.",
    Rule::Text,
)];
const FAVORITE: &[Field] = &[Field::body(
    "favorite",
    "favorite",
    "Whether the entry is among the favourites.",
    Rule::Switch,
)
.required()];
const POSITION: &[Field] = &[Field::body(
    "index",
    "index",
    "The place among the favourites, counted from 1.",
    INDEX,
)
.required()];
const MEMBER: &[Field] = &[Field::body(
    "entry_id",
    "entryId",
    "The `id` of the entry that becomes a member, or is one no longer.",
    Rule::Text,
)
.required()];
const SEARCH: &[Field] = &[
    Field::body(
        "search",
        "searchString",
        "What to look for in the names; an empty text finds every entry.",
        Rule::AnyText,
    )
    .required(),
    Field::body(
        "server_scope",
        "serverScope",
        "Where to search; everywhere if it is left out.",
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
        "Which kind of entry to find; any kind if it is left out.",
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
        "Whether groups inside the group are searched too (`recursive`); `one_level` if left out.",
        Rule::Word(&[("one_level", "ONE_LEVEL"), ("recursive", "RECURSIVE")]),
    ),
    Field::body(
        "order",
        "order",
        "By what the entries are sorted; by `display_name` if it is left out.",
        Rule::Word(&[
            ("first_name", "FIRST_NAME"),
            ("last_name", "LAST_NAME"),
            ("display_name", "DISPLAY_NAME"),
        ]),
    ),
    Field::body(
        "group_id",
        "groupID",
        "The `id` of the group to search in; the whole directory if it is left out.",
        Rule::Text,
    ),
    Field::gateway(
        "limit",
        "How many entries are answered at most; 200 if left out.",
        Rule::Integer { min: 1, max: 1000 },
    ),
];

/// The commands of an entry, the same for every server.
macro_rules! dial {
    ($entry:literal, $directory:literal) => {
        &[Command::new(
            concat!($entry, "/dial"),
            concat!("Calls an entry of ", $directory, "."),
        )
        .fields(Some("device_id"), DEVICE)
        .body_constants(&[("action", "dial")])
        .refresh(&[conferences::states::CALLS])
        .dials()]
    };
}
macro_rules! favorite {
    ($entry:literal, $directory:literal) => {
        &[Command::new(
            concat!($entry, "/favorite/set"),
            concat!(
                "Makes an entry a favourite, or one no longer, in ",
                $directory,
                "."
            ),
        )
        .fields(Some("favorite"), FAVORITE)
        .refresh(&[states::FAVORITES])]
    };
}
macro_rules! position {
    ($entry:literal, $directory:literal) => {
        &[Command::new(
            concat!($entry, "/favorite/position/set"),
            concat!(
                "Moves a favourite to another place in the list, in ",
                $directory,
                "."
            ),
        )
        .fields(Some("index"), POSITION)
        .refresh(&[states::FAVORITES])]
    };
}
macro_rules! members {
    ($entry:literal, $directory:literal) => {
        &[
            Command::new(
                concat!($entry, "/members/query"),
                concat!(
                    "Starts a search for the members of a group of ",
                    $directory,
                    "; where the device answers with an `id`, `directory/query/{query_id}/get` reads \
                     what was found."
                ),
            )
            .body_constants(&[("action", "query")])
            .creates_resource(),
            Command::new(
                concat!($entry, "/members/add"),
                concat!("Adds an entry to a group of ", $directory, "."),
            )
            .fields(Some("entry_id"), MEMBER)
            .body_constants(&[("action", "add")])
            .not_idempotent(),
            Command::new(
                concat!($entry, "/members/remove"),
                concat!("Takes an entry out of a group of ", $directory, "."),
            )
            .fields(Some("entry_id"), MEMBER)
            .body_constants(&[("action", "remove")])
            .not_idempotent(),
        ]
    };
}

pub(in crate::catalogue) const OPERATIONS: &[Operation] = &[
    // Without a limit the device answers with one entry only.
    get("/rest/directory/favorites")
        .reads_with_query(&[("start", "1"), ("limit", "100")])
        .shape(Shape::Object)
        .one_of(&["entries", "next"])
        .states(&[State::whole(states::FAVORITES)])
        .poll(Class::Slow)
        .commands(&[Command::new(
            "directory/favorites/get",
            "Answers with a page of the directory's favourites; with the first 100 if neither `start` \
             nor `limit` is given.",
        )
        .fields(None, PAGE)]),
    get("/rest/directory/global/server")
        .shape(Shape::Object)
        .one_of(&["id", "protocol", "presenceServer"])
        .states(&[State::whole(states::GLOBAL_SERVER)])
        .poll(Class::Slow),
    get("/rest/directory/global/mtddefaultgroupentry")
        .or_none()
        .commands(&[Command::new(
            "directory/global/default_group/get",
            "Answers with the group with which a directory in several levels begins; without one the \
             result is `not_found`.",
        )]),
    get("/rest/directory/local/server")
        .shape(Shape::Object)
        .one_of(&["id", "protocol", "presenceServer"])
        .states(&[State::whole(states::LOCAL_SERVER)])
        .poll(Class::Slow),
    post("/rest/directory/local/entries").commands(&[Command::new(
        "directory/local/entry/add",
        "Adds a person or a group to the directory on the device; it takes one of the names at least.",
    )
    .fields(None, ENTRY)
    .plan(Plan::Split(named))
    .refresh(&[states::FAVORITES])
    .not_idempotent()]),
    get("/rest/directory/local/entries/{entry_id}").commands(&[Command::new(
        "directory/local/entry/{entry_id}/get",
        "Answers with one entry of the directory on the device: names, numbers, addresses.",
    )]),
    delete("/rest/directory/local/entries/{entry_id}").commands(&[Command::new(
        "directory/local/entry/{entry_id}/delete",
        "Deletes an entry from the directory on the device.",
    )
    .refresh(&[states::FAVORITES])]),
    put("/rest/directory/local/entries/{entry_id}").commands(&[Command::new(
        "directory/local/entry/{entry_id}/update",
        "Replaces an entry of the directory on the device by what is given, one field at least.",
    )
    .fields(None, ENTRY)
    .plan(Plan::Split(not_empty))
    .refresh(&[states::FAVORITES])]),
    post("/rest/directory/local/entries/{entry_id}").commands(dial!(
        "directory/local/entry/{entry_id}",
        "the directory on the device"
    )),
    put("/rest/directory/local/entries/{entry_id}/favorite").commands(favorite!(
        "directory/local/entry/{entry_id}",
        "the directory on the device"
    )),
    post("/rest/directory/local/entries/{entry_id}/favorite").commands(position!(
        "directory/local/entry/{entry_id}",
        "the directory on the device"
    )),
    post("/rest/directory/local/entries/{entry_id}/members").commands(members!(
        "directory/local/entry/{entry_id}",
        "the directory on the device"
    )),
    post("/rest/directory/queries").commands(&[
        Command::new(
            commands::CREATE_QUERY.as_str(),
            "Starts a search in the directory, and answers with its `id` for \
             `directory/query/{query_id}/get`; `directory/search` does all of it in one command.",
        )
        .kind(TopicKind::Query)
        .creates_resource()
        .fields(Some("search"), SEARCH)
        .not_idempotent(),
        Command::new(
            "directory/search",
            "Searches the directory, and answers with the entries that were found, as one list.",
        )
        .kind(TopicKind::Query)
        .fields(Some("search"), SEARCH)
        .plan(Plan::Search)
        .not_idempotent()
        .slow(),
    ]),
    get("/rest/directory/queries/initial").commands(&[Command::new(
        "directory/query/initial",
        "Starts a search for the entries that the device shows first, and answers with its `id`.",
    )
    .creates_resource()]),
    get("/rest/directory/queries/{query_id}").commands(&[Command::new(
        commands::GET_QUERY.as_str(),
        "Answers with a page of a search that was started; `next` is there if more follows.",
    )
    .fields(None, PAGE)]),
    delete("/rest/directory/queries/{query_id}").commands(&[Command::new(
        commands::DELETE_QUERY.as_str(),
        "Ends a search and frees what the device keeps for it.",
    )]),
    get("/rest/directory/{server_id}/entries/{entry_id}").commands(&[Command::new(
        "directory/{server_id}/entry/{entry_id}/get",
        "Answers with one entry of the directory on the named server: names, numbers, addresses.",
    )]),
    post("/rest/directory/{server_id}/entries/{entry_id}").commands(dial!(
        "directory/{server_id}/entry/{entry_id}",
        "the directory on the named server"
    )),
    put("/rest/directory/{server_id}/entries/{entry_id}/favorite").commands(favorite!(
        "directory/{server_id}/entry/{entry_id}",
        "the directory on the named server"
    )),
    post("/rest/directory/{server_id}/entries/{entry_id}/favorite").commands(position!(
        "directory/{server_id}/entry/{entry_id}",
        "the directory on the named server"
    )),
    post("/rest/directory/{server_id}/entries/{entry_id}/members").commands(members!(
        "directory/{server_id}/entry/{entry_id}",
        "the directory on the named server"
    )),
    put("/rest/directory/import").commands(&[Command::new(
        "directory/import",
        "Takes over the directory entries of an XML file, as `directory/export` writes it.",
    )
    .guarded()
    .bytes("application/xml")
    .refresh(&[states::FAVORITES])
    .slow()]),
    get("/rest/directory/export").commands(&[Command::new(
        "directory/export",
        "Answers with all directory entries as an XML file.",
    )
    .file(FileSpec::new("directory/export/file", "application/xml"))
    .slow()]),
];

/// The fields of which a new entry has one: without a name nobody finds it.
const NAMES: [&str; 4] = ["display_name", "full_name", "first_name", "last_name"];

fn named(own: Step, _: &Context) -> Result<Vec<Step>, Failure> {
    let is_name = |name: &&str| own.values.get(*name).is_some_and(|name| name != "");
    if NAMES.iter().any(is_name) {
        return Ok(vec![own]);
    }
    let message = format!("an entry takes a name: one of {}", NAMES.join(", "));
    Err(Failure::new(ErrorCode::InvalidPayload, message))
}

/// An empty payload is a slip, which would replace the entry by nothing.
fn not_empty(own: Step, _: &Context) -> Result<Vec<Step>, Failure> {
    if !own.values.is_empty() {
        return Ok(vec![own]);
    }
    let message = "an update takes the JSON of the entry, with one field at least";
    Err(Failure::new(ErrorCode::InvalidPayload, message))
}
