//! Entries of a directory as the guide lists their fields, and pages of them.

use serde_json::{Map, Value, json};

use super::check::{DeviceReply, DeviceRequest, Handled, bad, ok};

const TYPES: &[&str] = &["SINGLE", "GROUP"];
const ADDRESS_TYPES: &[&str] = &[
    "IP_ADDRESS",
    "IP_EXTENSION",
    "H323_NAME",
    "SIP",
    "POTS",
    "ISDN",
    "EMAIL",
    "TELEPHONE",
    "MOBILE",
];
const TEXTS: &[&str] = &[
    "displayName",
    "firstName",
    "lastName",
    "fullName",
    "email",
    "homePhone",
    "workPhone",
    "mobilePhone",
    "imageLocation",
];

/// Reads `?start=&limit=`. `start` counts from 1; the default limit is one entry.
pub fn page(request: &DeviceRequest, all: &[Value], path: &str) -> Handled {
    if !request.body.is_empty() {
        return Err(bad("no body is expected"));
    }
    request.only(&["start", "limit"])?;
    let number = |name| request.number(name, 1).map(|number| number.unwrap_or(1));
    let start = usize::try_from(number("start")?).unwrap_or(1);
    let limit = usize::try_from(number("limit")?).unwrap_or(1);
    let entries: Vec<_> = all.iter().skip(start - 1).take(limit).collect();
    let mut answer = json!({"entries": entries});
    if start - 1 + limit < all.len() {
        let href = format!("{path}?start={}&limit={limit}", start + limit);
        answer["next"] = json!({"rel": "next", "href": href});
    }
    ok(&answer)
}

/// The fields of an entry, as the guide lists them.
pub fn entry_fields(request: &DeviceRequest) -> Result<Map<String, Value>, DeviceReply> {
    let known: Vec<&str> = TEXTS
        .iter()
        .copied()
        .chain(["type", "favorite", "devices"])
        .collect();
    let fields = request.object(&known)?;
    fields.word("type", TYPES)?;
    for name in TEXTS {
        fields.maybe_text(name)?;
    }
    if fields.has("favorite") {
        fields.bool("favorite")?;
    }
    if let Some(devices) = fields.0.get("devices") {
        let list = devices
            .as_array()
            .ok_or_else(|| bad("devices is not a list"))?;
        for device in list {
            let addresses = device["addressList"].as_array();
            for address in addresses.into_iter().flatten() {
                let kind = address["type"].as_str().unwrap_or_default();
                if !ADDRESS_TYPES.contains(&kind) || !address["number"].is_string() {
                    return Err(bad("an address is not as the guide says"));
                }
            }
        }
    }
    Ok(fields.0)
}
