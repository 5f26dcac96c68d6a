//! Patterns with `{parameters}`: of topics below a room and of paths.

/// The parameter that is a preset.
pub const PRESET: &str = "index";

/// The names of the `{parameters}` in a path or pattern.
pub fn parameters(pattern: &str) -> impl Iterator<Item = &str> {
    pattern
        .split('/')
        .filter_map(|level| level.strip_prefix('{')?.strip_suffix('}'))
}

/// What each parameter of topics stands for, in a sentence.
const PARAMETERS: &[(&str, &str)] = &[
    ("conf_id", "The `id` of a conference in `calls`."),
    (
        "conn_id",
        "The `id` of a connection, which `calls` lists below its conference.",
    ),
    (
        "term_id",
        "The `id` of a terminal, as `call/{conf_id}/terminals/get` answers.",
    ),
    (
        PRESET,
        "A preset of the camera: its number from 1 to 10, or its name in the room's `presets`.",
    ),
    (
        "source_id",
        "The number of a camera or input, the `cameraIndex` in `camera/near` or `camera/far`; a \
         position also takes `SELECTED_PEOPLE`.",
    ),
    (
        "meeting_id",
        "The `id` of a meeting in `calendar/meetings`.",
    ),
    (
        "entry_id",
        "The `id` of a directory entry, as `directory/search` answers.",
    ),
    (
        "query_id",
        "The `id` of a directory query, as `directory/query/create` answers.",
    ),
    (
        "server_id",
        "The `serverId` of a directory entry, as `directory/search` answers.",
    ),
    (
        "name",
        "Which one of several: of `config` a name in the room's `settings`, of `system/status` the \
         name of a part after `system.status.`, of `system/touch_panel` the panel's `id`.",
    ),
];

/// What a parameter stands for; empty for what is no parameter of a topic.
pub fn about_parameter(name: &str) -> &'static str {
    let known = PARAMETERS.iter().find(|(known, _)| *known == name);
    known.map_or("", |(_, about)| about)
}

/// Whether the levels of a topic fit a pattern.
pub(super) fn matches(pattern: &str, levels: &[&str]) -> bool {
    let mut pattern = pattern.split('/');
    let fits = levels.iter().all(|level| {
        pattern
            .next()
            .is_some_and(|part| part.starts_with('{') || part == *level)
    });
    fits && pattern.next().is_none()
}
