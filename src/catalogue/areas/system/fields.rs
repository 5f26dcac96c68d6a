//! What commands to the device itself take.

use crate::catalogue::field::{Field, Rule};

pub const ON: &[Field] = &[Field::gateway("on", "Whether it runs.", Rule::Switch).required()];
pub const SHOW: &[Field] = &[Field::gateway(
    "on",
    "Whether the app is shown.",
    Rule::NamedSwitch("show", "hide"),
)
.required()];
pub const DESTINATION: &[Field] = &[Field::body(
    "destination",
    "destination",
    "The host to reach: an IP address or a name.",
    Rule::Text,
)
.required()];
pub const KEEP: &[Field] = &[
    Field::body(
        "keep_certificates",
        "keepCertificates",
        "Whether the certificates on the device are kept.",
        Rule::Switch,
    )
    .required(),
    Field::body(
        "keep_cdr",
        "keepCdr",
        "Whether the record of calls (CDR) is kept.",
        Rule::Switch,
    )
    .required(),
    Field::body(
        "keep_directory",
        "keepDirectory",
        "Whether the directory on the device is kept.",
        Rule::Switch,
    )
    .required(),
    Field::body(
        "keep_logs",
        "keepLogs",
        "Whether the logs are kept.",
        Rule::Switch,
    )
    .required(),
];
pub const TIME: &[Field] = &[
    Field::body(
        "time",
        "time",
        "The time in milliseconds since 1970 (UTC); the gateway's time if left out.",
        Rule::Integer {
            min: 0,
            max: i64::MAX,
        },
    ),
    Field::body(
        "tz_offset",
        "tzOffset",
        "The time zone's offset from UTC in minutes, such as -300 for UTC-5; unchanged if left \
         out.",
        Rule::Integer {
            min: -840,
            max: 840,
        },
    ),
];
