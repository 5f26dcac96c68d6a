//! Transactions as etcd's JSON interface has them: keys and values in base64, whole numbers as strings, zeros left out.
//!
//! Pure. The form is that of etcd 3.4 and later, `POST /v3/kv/txn`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::cluster::registry::{Condition, Entry, Read, Transaction, TransactionReply, Write};

/// The body of a transaction. What is read is read in both cases.
pub fn transaction(transaction: &Transaction) -> Value {
    let reads: Vec<Value> = transaction.reads.iter().map(read).collect();
    let writes = transaction.writes.iter().map(write);
    let success: Vec<Value> = writes.chain(reads.iter().cloned()).collect();
    let compare: Vec<Value> = transaction.conditions.iter().map(condition).collect();
    json!({"compare": compare, "success": success, "failure": reads})
}

/// The answer to it, and the id of the cluster that gave it; none if it is no answer to it.
pub fn reply(transaction: &Transaction, body: &[u8]) -> Option<(TransactionReply, u64)> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let header = body.get("header")?;
    let swapped = body.get("succeeded").and_then(Value::as_bool) == Some(true);
    let no_responses = Vec::new();
    let responses = match body.get("responses") {
        Some(responses) => responses.as_array()?,
        None => &no_responses,
    };
    let skipped = if swapped { transaction.writes.len() } else { 0 };
    let reads: Option<Vec<Vec<Entry>>> = responses.iter().skip(skipped).map(entries).collect();
    let reply = TransactionReply {
        swapped,
        revision: number(header, "revision")?,
        reads: reads?,
    };
    let cluster = number(header, "cluster_id")?;
    (reply.reads.len() == transaction.reads.len()).then_some((reply, cluster))
}

fn condition(condition: &Condition) -> Value {
    match condition {
        Condition::Absent(key) => compare(key, "CREATE", "create_revision", 0),
        Condition::Created(key, revision) => compare(key, "CREATE", "create_revision", *revision),
        Condition::Modified(key, revision) => compare(key, "MOD", "mod_revision", *revision),
    }
}

fn compare(key: &str, target: &str, field: &str, revision: u64) -> Value {
    json!({
        "key": STANDARD.encode(key),
        "target": target,
        "result": "EQUAL",
        field: revision.to_string(),
    })
}

fn write(write: &Write) -> Value {
    match write {
        Write::Put(key, value) => json!({
            "request_put": {"key": STANDARD.encode(key), "value": STANDARD.encode(value)},
        }),
        Write::Delete(key) => json!({"request_delete_range": {"key": STANDARD.encode(key)}}),
    }
}

fn read(read: &Read) -> Value {
    let range = match read {
        Read::Key(key) => json!({"key": STANDARD.encode(key)}),
        Read::Revision(key) => json!({"key": STANDARD.encode(key), "keys_only": true}),
        Read::Newer(key, revision) => json!({
            "key": STANDARD.encode(key),
            "min_mod_revision": revision.saturating_add(1).to_string(),
        }),
        Read::Prefix(prefix) => json!({
            "key": STANDARD.encode(prefix),
            "range_end": STANDARD.encode(end_of(prefix)),
        }),
    };
    json!({"request_range": range})
}

/// The first key after all that begin so.
fn end_of(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    // No byte of UTF-8 is 255.
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end
}

fn entries(response: &Value) -> Option<Vec<Entry>> {
    let range = response.get("response_range")?;
    let Some(found) = range.get("kvs") else {
        return Some(Vec::new());
    };
    found.as_array()?.iter().map(entry).collect()
}

fn entry(entry: &Value) -> Option<Entry> {
    let text = |field| {
        let encoded = entry.get(field).and_then(Value::as_str).unwrap_or_default();
        let bytes = STANDARD.decode(encoded).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    };
    Some(Entry {
        key: text("key")?,
        value: text("value")?,
        created: number(entry, "create_revision")?,
        modified: number(entry, "mod_revision")?,
    })
}

fn number(object: &Value, field: &str) -> Option<u64> {
    match object.get(field)? {
        // The library would take a sign too.
        Value::String(text) if text.starts_with('+') => None,
        Value::String(text) => text.parse().ok(),
        other => other.as_u64(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Transaction {
        Transaction {
            conditions: vec![Condition::Absent("x/m".into())],
            writes: vec![Write::Put("x/m".into(), "hi".into())],
            reads: vec![
                Read::Prefix("x/".into()),
                Read::Revision("x/m".into()),
                Read::Newer("x/m".into(), 5),
            ],
        }
    }

    #[test]
    fn a_transaction_has_the_form_that_etcd_takes() {
        let wanted = json!({
            "compare": [{"key": "eC9t", "target": "CREATE", "result": "EQUAL", "create_revision": "0"}],
            "success": [
                {"request_put": {"key": "eC9t", "value": "aGk="}},
                {"request_range": {"key": "eC8=", "range_end": "eDA="}},
                {"request_range": {"key": "eC9t", "keys_only": true}},
                {"request_range": {"key": "eC9t", "min_mod_revision": "6"}},
            ],
            "failure": [
                {"request_range": {"key": "eC8=", "range_end": "eDA="}},
                {"request_range": {"key": "eC9t", "keys_only": true}},
                {"request_range": {"key": "eC9t", "min_mod_revision": "6"}},
            ],
        });
        assert_eq!(transaction(&example()), wanted);
    }

    /// As etcd 3.4.23 answered.
    #[test]
    fn answers_of_etcd_are_read() {
        let header = r#""header":{"cluster_id":"324952591200643719","member_id":"3319814642761637952","revision":"2","raft_term":"2"}"#;
        let kv = r#"{"key":"eC9t","create_revision":"2","mod_revision":"2","version":"1","value":"aGk="}"#;
        let range = format!(
            r#"{{"response_range":{{"header":{{"revision":"2"}},"kvs":[{kv}],"count":"1"}}}}"#
        );
        let none = r#"{"response_range":{"header":{"revision":"2"},"count":"1"}}"#;
        let put = r#"{"response_put":{"header":{"revision":"2"}}}"#;
        let entry = Entry {
            key: "x/m".into(),
            value: "hi".into(),
            created: 2,
            modified: 2,
        };
        for (body, swapped) in [
            (
                format!(
                    r#"{{{header},"succeeded":true,"responses":[{put},{range},{range},{none}]}}"#
                ),
                true,
            ),
            (
                format!(r#"{{{header},"responses":[{range},{range},{none}]}}"#),
                false,
            ),
        ] {
            let (reply, cluster) = reply(&example(), body.as_bytes()).unwrap();
            assert_eq!(cluster, 324_952_591_200_643_719);
            assert_eq!((reply.swapped, reply.revision), (swapped, 2));
            assert_eq!(
                reply.reads,
                [vec![entry.clone()], vec![entry.clone()], vec![]]
            );
        }
        for wrong in [
            String::new(),
            "{}".into(),
            format!("{{{header}}}"),
            format!(r#"{{{header},"responses":[{range},{range},{none}]}}"#)
                .replace(r#""revision":"2""#, r#""revision":"+2""#),
            format!(r#"{{{header},"succeeded":true,"responses":[{put},{range},{range}]}}"#),
            format!(r#"{{{header},"responses":[{put},{range},{none}]}}"#),
        ] {
            assert_eq!(reply(&example(), wrong.as_bytes()), None, "{wrong}");
        }
    }
}
