//! Collaboration: the content session and its saved content.

use crate::catalogue::command::{Command, TopicKind};
use crate::catalogue::field::{Field, Rule};
use crate::catalogue::file::FileSpec;
use crate::catalogue::operation::{Class, Operation, get, post};
use crate::catalogue::quirks::collaboration_session;
use crate::catalogue::state::State;

/// The states of this area.
pub(in crate::catalogue) mod states {
    use crate::catalogue::references::StateTopic;

    pub const COLLABORATION: StateTopic = StateTopic::new(
        "collaboration",
        "The session in which content is shared, with `sessionId` and `sessionState` (`ACTIVE`, \
         `INACTIVE`, `READY` or `DISCONNECTING`); `none` while there is none.",
    );
}

const PIN: &[Field] = &[Field::query(
    "pin",
    "pin",
    "The room's PIN for shared content, if it has one.",
    Rule::Secret,
)];
const CONTENT: &[Field] = &[
    Field::query(
        "pin",
        "pin",
        "The room's PIN for shared content, if it has one.",
        Rule::Secret,
    ),
    Field::query(
        "context_id",
        "context-id",
        "The `context_id` that `collaboration/content/save` answered.",
        Rule::Text,
    )
    .required(),
];
const SAVING: &[Field] = &[
    Field::query(
        "pin",
        "pin",
        "The room's PIN for shared content, if it has one.",
        Rule::Secret,
    ),
    Field::query(
        "enabled",
        "status",
        "Whether saving is allowed.",
        Rule::Switch,
    )
    .required(),
];
/// The fields of saving in the words of other firmware.
const SAVING_TRUE_FALSE: &[Field] = &[
    Field::query(
        "pin",
        "pin",
        "The room's PIN for shared content, if it has one.",
        Rule::Secret,
    ),
    Field::query_true_false("enabled", "status", "Whether saving is allowed.").required(),
];

// A collaboration comes and goes, and all of this with it.
pub(in crate::catalogue) const OPERATIONS: &[Operation] = &[
    get("/rest/collaboration")
        .one_of(&["sessionId", "id", "sessionState", "state"])
        .states(&[State::with(states::COLLABORATION, |answer, _| {
            collaboration_session(answer)
        })])
        .poll(Class::Normal)
        .or_none(),
    post("/rest/collaboration").commands(&[Command::new(
        "collaboration/end",
        "Ends the session in which content is shared.",
    )
    .body_constants(&[("action", "END")])
    .refresh(&[states::COLLABORATION])]),
    post("/rest/collaboration/content").commands(&[Command::new(
        "collaboration/content/save",
        "Begins to save what is shared, and answers with a `context_id` by which \
             `collaboration/content/get` fetches it.",
    )
    .kind(TopicKind::Query)
    .creates_resource()
    .fields(Some("pin"), PIN)
    .not_idempotent()
    .slow()]),
    get("/rest/collaboration/content").commands(&[Command::new(
        "collaboration/content/get",
        "Answers with content that was saved, as a file; with a `warning` while it is not ready.",
    )
    .fields(Some("context_id"), CONTENT)
    .file(FileSpec::new("collaboration/content", "application/octet-stream").unready_at_first())
    .slow()]),
    // A GET that sets: it is a command and never polled.
    get("/rest/collaboration/contentssavestatus").commands(&[Command::new(
        "collaboration/content/saving/set",
        "Allows people in the session to save what is shared, or forbids it.",
    )
    .kind(TopicKind::Command)
    .fields(Some("enabled"), SAVING)]),
    get("/rest/collaboration/contentsavestatus").commands(&[Command::fallback(
        "collaboration/content/saving/set",
    )
    .kind(TopicKind::Command)
    .fields(Some("enabled"), SAVING_TRUE_FALSE)]),
    get("/rest/collaboration/content/all").commands(&[Command::new(
        "collaboration/content/all/get",
        "Answers with everything that was saved in the session, as one ZIP file; with a `warning` while \
         it is not ready.",
    )
    .fields(Some("pin"), PIN)
    .file(FileSpec::new("collaboration/content/all", "application/zip").unready_at_first())
    .slow()]),
];
