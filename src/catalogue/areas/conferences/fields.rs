//! What commands to calls take.

use crate::catalogue::field::{Field, Rule};
use crate::catalogue::list::ListMembers;

const DIAL_TYPES: &[(&str, &str)] = &[
    ("loopback", "LOOPBACK"),
    ("auto", "AUTO"),
    ("video", "VIDEO"),
    ("voice", "VOICE"),
    ("h320", "H320"),
    ("h323", "H323"),
    ("sip", "SIP"),
    ("gateway", "GATEWAY"),
    ("pots", "POTS"),
    ("isdn_voice", "ISDN_VOICE"),
    ("sip_speakerphone", "SIP_SPEAKERPHONE"),
    ("pots_speakerphone", "POTS_SPEAKERPHONE"),
    ("voice_h323", "VOICE_H323"),
    ("voice_sip", "VOICE_SIP"),
    ("voice_gateway", "VOICE_GATEWAY"),
];
/// The highest bandwidth of a call, in kbit/s.
const HIGHEST_RATE: i64 = 100_000;
pub const DIAL: &[Field] = &[
    Field::body(
        "address",
        "address",
        "Whom to call: a SIP or H.323 address, a host name, an IP address or a telephone number.",
        Rule::Text,
    )
    .required(),
    Field::body(
        "rate",
        "rate",
        "The bandwidth of the call in kbit/s; the device chooses if it is left out.",
        Rule::Integer {
            min: 0,
            max: HIGHEST_RATE,
        },
    ),
    Field::body(
        "dial_type",
        "dialType",
        "The kind of call; the device chooses (`auto`) if it is left out, and not every device \
         knows every kind.",
        Rule::Word(DIAL_TYPES),
    ),
    Field::body(
        "password",
        "password",
        "The password of the conference, if it asks for one.",
        Rule::Secret,
    ),
];
const ADDRESSES: ListMembers = ListMembers {
    members: &[
        ("address", Rule::AnyText),
        (
            "rate",
            Rule::Integer {
                min: 0,
                max: HIGHEST_RATE,
            },
        ),
        ("dialType", Rule::Word(DIAL_TYPES)),
    ],
    required: Some("address"),
};
pub const BLAST: &[Field] = &[
    Field::gateway(
        "addresses",
        "The addresses to call, as a list or with commas between them.",
        Rule::Texts,
    ),
    Field::body(
        "end_point_list",
        "endPointList",
        "The parties to call in the guide's form, each with its `addresses`, instead of \
         `addresses`.",
        Rule::List(ListMembers {
            members: &[("addresses", Rule::List(ADDRESSES))],
            required: Some("addresses"),
        }),
    ),
    Field::body(
        "password",
        "password",
        "The password of the conference, if it asks for one.",
        Rule::Secret,
    ),
];
pub const FILTER: &[Field] = &[Field::query(
    "filter",
    "filter",
    "Which connections are answered; all of them if it is left out.",
    Rule::Word(&[
        ("all", "ALL"),
        ("active", "ACTIVE"),
        ("answerable", "ANSWERABLE"),
        ("incoming", "INCOMING"),
        ("pending", "PENDING"),
    ]),
)];

pub const LIMIT: &[Field] = &[Field::query(
    "limit",
    "limit",
    "How many calls are answered, newest first; 10 if left out.",
    Rule::Integer { min: 1, max: 100 },
)];
