//! The bodies that dial: one address, or several at once.

use serde_json::{Value, json};

use super::check::{DeviceReply, DeviceRequest, Fields, bad};
use super::connection::CONFERENCE;

const DIAL_TYPES: &[&str] = &[
    "LOOPBACK",
    "AUTO",
    "VIDEO",
    "VOICE",
    "H320",
    "H323",
    "SIP",
    "GATEWAY",
    "POTS",
    "ISDN_VOICE",
    "SIP_SPEAKERPHONE",
    "POTS_SPEAKERPHONE",
    "VOICE_H323",
    "VOICE_SIP",
    "VOICE_GATEWAY",
];
/// Reads the body of `conferences/blast`.
pub fn blast_addresses(request: &DeviceRequest) -> Result<Vec<String>, DeviceReply> {
    let fields = request.object(&["endPointList", "password"])?;
    fields.maybe_text("password")?;
    let list = fields.0.get("endPointList").and_then(Value::as_array);
    let missing = || DeviceReply::reason(415, "endPointList is missing");
    let mut dialled = Vec::new();
    for end_point in list.filter(|list| !list.is_empty()).ok_or_else(missing)? {
        let addresses = end_point["addresses"].as_array().ok_or_else(missing)?;
        for address in addresses {
            let object = address.as_object().ok_or_else(missing)?;
            let known = ["address", "rate", "dialType"];
            if object.keys().any(|name| !known.contains(&name.as_str())) {
                return Err(bad("unknown field in endPointList"));
            }
            dialled.push(checked_address(&Fields(object.clone()))?);
        }
    }
    Ok(dialled)
}

fn checked_address(fields: &Fields) -> Result<String, DeviceReply> {
    fields.word("dialType", DIAL_TYPES)?;
    if fields.has("rate") {
        fields.integer("rate", 0, 100_000)?;
    }
    fields.text("address")
}

/// Reads the body that dials one address.
pub fn dial_fields(request: &DeviceRequest) -> Result<String, DeviceReply> {
    let fields = request.object(&["address", "rate", "dialType", "password"])?;
    fields.maybe_text("password")?;
    checked_address(&fields)
}

/// The reply to a dial: a link to the connection.
pub fn self_link(connection: &str) -> Value {
    let href = format!("/rest/conferences/{CONFERENCE}/connections/{connection}");
    json!([{"rel": "self", "href": href}])
}
