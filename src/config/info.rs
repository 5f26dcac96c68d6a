//! The configuration as `gateway/info` shows it: what the tables of keys say, never a secret.

use serde_json::{Map, Value};

use super::key::{Info, Key, KeyValue, Values};

/// The values of these keys, without secrets.
pub fn shown(keys: &[Key], values: &Values) -> Value {
    let mut object = Map::new();
    for key in keys {
        let Some(value) = values.get(key.name) else {
            continue;
        };
        match key.info {
            Info::Hidden => {}
            Info::IsSet(name) => {
                object.insert(name.to_owned(), value.is_set().into());
            }
            Info::Value(name) => {
                object.insert(name.to_owned(), shown_value(key, value));
            }
        }
    }
    Value::Object(object)
}

fn shown_value(key: &Key, value: &KeyValue) -> Value {
    let keys = key.below();
    match value {
        KeyValue::Plain(value) => value.clone(),
        // No table of keys can ask for this: it would not compile.
        KeyValue::Secret(_) => Value::Null,
        KeyValue::Table(values) => shown(keys, values),
        KeyValue::Tables(list) => list.iter().map(|values| shown(keys, values)).collect(),
        KeyValue::ById(tables) => {
            let shown = |(id, values): (&String, &Values)| (id.clone(), shown(keys, values));
            Value::Object(tables.iter().map(shown).collect())
        }
    }
}
