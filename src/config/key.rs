//! The definition of a configuration key: the entry that each section's file writes for it.
//!
//! Owns the shape of the entry and nothing of its contents. The reader checks names against it; the
//! schema, the documents, `gateway/info` and the reload are made from it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value};

use super::Secret;
use crate::nearest::nearest;

/// The type of a key's value.
#[derive(Debug, Clone, Copy)]
pub enum KeyType {
    /// A text that is not empty, unless its form says so.
    Text,
    /// One of the key's choices.
    Choice,
    /// A path of a file.
    File,
    /// A text that is never shown. The key `<name>_file` beside it names a file that holds it.
    Secret,
    /// A text such as `2s`.
    Duration(DurationBounds),
    /// A text such as `10MiB`, of a number of bytes in these bounds.
    Size(usize, usize),
    /// True or false.
    Bool,
    /// A whole number in these bounds.
    Integer(i64, i64),
    /// A list of texts.
    List,
    /// A table of texts by number: its keys are these numbers.
    TextByNumber(&'static [Key]),
    /// A table with these keys.
    Table(&'static [Key]),
    /// A list of tables with these keys.
    Tables(&'static [Key]),
    /// A table of tables with these keys, by id.
    ById(&'static [Key]),
}

/// The longest duration that any key takes: 366 days. What is longer is a slip of the pen, and a sum of a clock's
/// time and of a multiple of it must not overflow.
pub const LONGEST_DURATION: Duration = Duration::from_secs(366 * 24 * 3600);

/// Which durations a key takes.
#[derive(Debug, Clone, Copy)]
pub struct DurationBounds {
    /// The shortest.
    pub least: Duration,
    /// 0 is taken too.
    pub or_zero: bool,
}

impl DurationBounds {
    /// This one and longer ones, up to [`LONGEST_DURATION`].
    pub const fn at_least(least: Duration) -> Self {
        Self {
            least,
            or_zero: false,
        }
    }

    /// Durations from `least` on, and 0.
    pub const fn at_least_or_zero(least: Duration) -> Self {
        Self {
            least,
            or_zero: true,
        }
    }

    /// Whether a duration is taken.
    pub fn contains(self, duration: Duration) -> bool {
        let fits = (self.least..=LONGEST_DURATION).contains(&duration);
        fits || (self.or_zero && duration.is_zero())
    }
}

/// The form of a text, or of each text in a list: a regular expression for all of it, from `forms`.
pub type TextForm = fn() -> String;

/// When a reload takes over a new value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reload {
    /// At once.
    Now,
    /// At the next start.
    NextStart,
    /// Another value at once; adding or removing the key at the next start.
    ValueNow,
}

/// What `gateway/info` shows of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Info {
    /// Nothing.
    Hidden,
    /// Its value, under this name.
    Value(&'static str),
    /// Whether it is set, under this name.
    IsSet(&'static str),
}

/// One key.
///
/// Texts in it are Markdown without links, start with a capital and have no full stop at the end.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// The type of its value.
    pub kind: KeyType,
    /// When a reload takes it over. Without meaning for a table, whose keys each say it.
    pub reload: Reload,
    /// What it does, in one line.
    pub about: &'static str,
    /// What certain values mean.
    pub choices: &'static [(&'static str, &'static str)],
    /// The choices are all that there is.
    pub closed: bool,
    /// The form of the text, or of each text in the list.
    pub form: Option<TextForm>,
    /// The text may be empty.
    pub may_be_empty: bool,
    /// A list has no more texts than these, each once.
    pub most: Option<usize>,
    /// It must be set.
    pub required: bool,
    /// The key that may not be set beside it.
    pub instead_of: Option<&'static str>,
    /// The key that must be set beside it.
    pub together_with: Option<&'static str>,
    /// Its default value as it would be written in the file, without quotes.
    pub default: Option<&'static str>,
    /// The behaviour without it, in words, if no default value says it.
    pub without: &'static str,
    /// The value in the example file, without quotes; the default where there is none.
    pub example: Option<&'static str>,
    /// In the example file it is set, not commented out.
    pub in_use: bool,
    /// What `gateway/info` shows of it.
    pub info: Info,
    /// The key whose value this one becomes part of. Such a key has no value of its own.
    pub part_of: Option<&'static str>,
    /// The keys of this table are explained elsewhere; documents only list them.
    pub brief: bool,
    /// The key below this table that is set by a text in place of the table.
    pub short_for: Option<&'static str>,
}

impl Key {
    /// A key. `about` is one line in Markdown.
    pub const fn new(
        name: &'static str,
        kind: KeyType,
        reload: Reload,
        about: &'static str,
    ) -> Self {
        Self {
            name,
            kind,
            reload,
            about,
            choices: &[],
            closed: matches!(kind, KeyType::Choice),
            form: None,
            may_be_empty: false,
            most: None,
            required: false,
            instead_of: None,
            together_with: None,
            default: None,
            without: "",
            example: None,
            in_use: false,
            info: Info::Hidden,
            part_of: None,
            brief: false,
            short_for: None,
        }
    }

    /// Explains certain values.
    pub const fn choices(mut self, choices: &'static [(&'static str, &'static str)]) -> Self {
        self.choices = choices;
        self
    }

    /// Explains all values there are: the key takes no others.
    pub const fn only(mut self, choices: &'static [(&'static str, &'static str)]) -> Self {
        self.closed = true;
        self.choices(choices)
    }

    /// The form of the text, or of each text in the list.
    pub const fn form(mut self, form: TextForm) -> Self {
        self.form = Some(form);
        self
    }

    /// The text may be empty.
    pub const fn may_be_empty(mut self) -> Self {
        self.may_be_empty = true;
        self
    }

    /// A list has no more texts than these, each once.
    pub const fn most(mut self, most: usize) -> Self {
        self.most = Some(most);
        self
    }

    /// It must be set.
    pub const fn required(mut self) -> Self {
        self.required = true;
        self.without("required")
    }

    /// The key that may not be set beside it.
    pub const fn instead_of(mut self, key: &'static str) -> Self {
        self.instead_of = Some(key);
        self
    }

    /// The key that must be set beside it.
    pub const fn together_with(mut self, key: &'static str) -> Self {
        self.together_with = Some(key);
        self
    }

    /// The default value, without quotes.
    pub const fn default(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }

    /// The behaviour without the key, in words, such as `all rooms` or `required`.
    pub const fn without(mut self, words: &'static str) -> Self {
        self.without = words;
        self
    }

    /// The value in the example file, without quotes.
    pub const fn example(mut self, example: &'static str) -> Self {
        self.example = Some(example);
        self
    }

    /// The example file sets this key.
    pub const fn in_use(mut self) -> Self {
        self.in_use = true;
        self
    }

    /// `gateway/info` shows the value. A secret cannot be shown: this does not compile.
    pub const fn in_info(self) -> Self {
        let name = self.name;
        self.in_info_as(name)
    }

    /// `gateway/info` shows the value under another name.
    pub const fn in_info_as(mut self, name: &'static str) -> Self {
        assert!(
            !matches!(self.kind, KeyType::Secret),
            "a secret is never shown"
        );
        self.info = Info::Value(name);
        self
    }

    /// `gateway/info` shows under this name whether the key is set.
    pub const fn in_info_if_set(mut self, name: &'static str) -> Self {
        self.info = Info::IsSet(name);
        self
    }

    /// The value becomes part of that of another key.
    pub const fn part_of(mut self, key: &'static str) -> Self {
        self.part_of = Some(key);
        self
    }

    /// Documents list the keys of this table without explaining them again.
    pub const fn brief(mut self) -> Self {
        self.brief = true;
        self
    }

    /// A text in place of the table is the value of this key below it.
    pub const fn short_for(mut self, key: &'static str) -> Self {
        self.short_for = Some(key);
        self
    }

    /// A value as it is written in the file.
    pub fn literal(&self, value: &str) -> String {
        match self.kind {
            KeyType::Text
            | KeyType::Choice
            | KeyType::File
            | KeyType::Secret
            | KeyType::Duration(_)
            | KeyType::Size(..) => {
                format!("\"{value}\"")
            }
            _ => value.to_owned(),
        }
    }

    /// The keys of the table or tables that this key takes.
    pub fn below(&self) -> &'static [Key] {
        match self.kind {
            KeyType::TextByNumber(keys)
            | KeyType::Table(keys)
            | KeyType::Tables(keys)
            | KeyType::ById(keys) => keys,
            _ => &[],
        }
    }
}

/// The value of a key, to be shown or compared with another.
#[derive(Debug, Clone, PartialEq)]
pub enum KeyValue {
    /// A value that may be shown; null for a key that is not set.
    Plain(Value),
    /// A secret, which is never shown.
    Secret(Option<Secret>),
    /// The values of a table.
    Table(Values),
    /// The values of a list of tables.
    Tables(Vec<Values>),
    /// The values of a table of tables.
    ById(BTreeMap<String, Values>),
}

impl KeyValue {
    /// The key is set, or has a default. Tables are if there is one.
    pub fn is_set(&self) -> bool {
        match self {
            Self::Plain(Value::Null) | Self::Secret(None) => false,
            Self::Tables(tables) => !tables.is_empty(),
            _ => true,
        }
    }
}

/// The values of a section, by the names of their keys.
pub type Values = BTreeMap<&'static str, KeyValue>;

/// The key with this path, in which ids and the numbers of tables are parts of their own.
///
/// # Errors
/// Where the path names no key: the keys that are known there, and the number of the part.
pub fn find_key(
    keys: &'static [Key],
    path: &[String],
) -> Result<&'static Key, (&'static [Key], usize)> {
    let mut known = keys;
    let mut at = 0;
    loop {
        let name = path.get(at).ok_or((known, at))?;
        let key = known.iter().find(|key| key.name == name);
        let key = key.ok_or((known, at))?;
        at += match key.kind {
            KeyType::ById(_) | KeyType::Tables(_) => 2,
            _ => 1,
        };
        if at >= path.len() {
            return Ok(key);
        }
        known = key.below();
    }
}

/// The tables that stand in the places of texts, and nothing else.
pub fn lengthened(values: &Map<String, Value>, keys: &[Key]) -> Map<String, Value> {
    let below = |key: &Key| {
        let table = match (key.kind, values.get(key.name)?, key.short_for) {
            (_, value @ Value::String(_), Some(name)) => {
                Map::from_iter([(name.to_owned(), value.clone())])
            }
            (KeyType::Table(keys), Value::Object(values), _) => lengthened(values, keys),
            (KeyType::ById(keys), Value::Object(tables), _) => {
                let longer = |(id, values): (&String, &Value)| {
                    let table = lengthened(values.as_object()?, keys);
                    (!table.is_empty()).then(|| (id.clone(), Value::Object(table)))
                };
                tables.iter().filter_map(longer).collect()
            }
            _ => return None,
        };
        (!table.is_empty()).then(|| (key.name.to_owned(), Value::Object(table)))
    };
    keys.iter().filter_map(below).collect()
}

/// What is said about a key that is not among those known.
pub fn unknown_key(known: &[Key], name: &str) -> String {
    if known.is_empty() {
        return "the key before it is no table".to_owned();
    }
    let is_number = |key: &Key| key.name.bytes().all(|byte| byte.is_ascii_digit());
    let names = || known.iter().map(|key| key.name);
    match nearest(name, names()) {
        // One number is not meant as another.
        Some(near) if !known.iter().all(is_number) => {
            format!("unknown key; did you mean \"{near}\"?")
        }
        _ => {
            let known: Vec<_> = names().collect();
            format!("unknown key; known here are {}", known.join(", "))
        }
    }
}

/// The operations that every section supports.
pub trait Section {
    /// Its keys, in the order of the documents.
    const KEYS: &'static [Key];

    /// The value of every key that is not part of another.
    fn values(&self) -> Values;
}

/// A plain value.
pub fn plain(value: impl Into<Value>) -> KeyValue {
    KeyValue::Plain(value.into())
}
