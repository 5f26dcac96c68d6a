//! Patterns with `{parameters}`: of topics below a room and of paths.

/// The parameter that is a preset.
pub(super) const PRESET: &str = "index";

/// The names of the `{parameters}` in a path or pattern.
pub fn parameters(pattern: &str) -> impl Iterator<Item = &str> {
    pattern
        .split('/')
        .filter_map(|level| level.strip_prefix('{')?.strip_suffix('}'))
}

/// The meaning of a parameter, for the topic page.
pub fn about_parameter(name: &str) -> &'static str {
    match name {
        "conf_id" => "a conference's id, as listed in `calls`",
        "conn_id" => "a connection's id, as listed in `calls` below its conference",
        "term_id" => "a terminal's id, as `call/{conf_id}/terminals/get` answers",
        "index" => "a preset's number, 1 to 10, or its name in the room's `presets`",
        "source_id" => {
            "a camera's number, as listed in `camera/near` or `camera/far`; a position also takes \
             `SELECTED_PEOPLE`"
        }
        "meeting_id" => "a meeting's id, as listed in `calendar/meetings`",
        "entry_id" => "a directory entry's id, as a search answers",
        "query_id" => "a directory query's id, as `directory/query/create` answers",
        "server_id" => "a directory server's id, the `serverId` of its entries",
        "name" => {
            "a part of the system, as listed in `system/status` after `system.status.`; of a touch \
             panel, its `id`"
        }
        _ => "a value that the device knows",
    }
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
