//! Makes documents from the tables of keys: the JSON Schema, the tables of `docs/configuration.md`,
//! and the example file `config/poly2mqtt.toml`.

mod schema;

use std::fmt::Write as _;

use super::Config;
use super::key::{Key, KeyType, Reload, Section};

pub use schema::schema;

/// Comments in the example file are wrapped here.
const WIDTH: usize = 98;
/// Marks the start of a generated table in a page; the path of the section follows.
const MARKER: &str = "<!-- generated: ";
const MARKER_END: &str = " -->\n";
/// Marks the end of a generated table.
const END: &str = "<!-- end -->";

const EXAMPLE_HEAD: &str = "\
#:schema ./poly2mqtt.schema.json
# poly2mqtt: every key, with its explanation.
#
# A line that begins with `# ` and a key shows the default or an example. Remove the `# ` to use it.
# Durations: 500ms, 2s, 10m, 1h. Sizes: 512KiB, 10MiB. Relative paths begin in the folder of this file.
#
# Every key can also be set by an environment variable, which wins over the file:
# POLY2MQTT_MQTT__URL, POLY2MQTT_ROOMS__BOARDROOM__PASSWORD. `poly2mqtt check` shows every error
# with this file; `kill -HUP` makes a running gateway read it again.
";

/// A page, with the table of every section put between its markers
/// `<!-- generated: mqtt.user -->` and `<!-- end -->`.
///
/// # Errors
/// A marker names no section, or has no end.
pub fn page(text: &str) -> Result<String, String> {
    let mut parts = text.split(MARKER);
    let mut page = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (path, rest) = part.split_once(MARKER_END).ok_or("a marker has no end")?;
        let (_, after) = rest
            .split_once(END)
            .ok_or_else(|| format!("{path}: there is no {END}"))?;
        let keys = section(path).ok_or_else(|| format!("{path}: there is no such section"))?;
        page += &format!("{MARKER}{path}{MARKER_END}{}{END}{after}", table(keys));
    }
    Ok(page)
}

/// The keys of a section by its path, such as `mqtt.user`.
fn section(path: &str) -> Option<&'static [Key]> {
    path.split('.').try_fold(Config::KEYS, |keys, name| {
        let key = keys.iter().find(|key| key.name == name)?;
        Some(key.below()).filter(|below| !below.is_empty())
    })
}

/// A section as a table in Markdown, with what a reload takes over below it.
fn table(keys: &[Key]) -> String {
    let mut table = "\n| key | default | |\n|---|---|---|\n".to_owned();
    for key in keys {
        let default = match key.default {
            Some("") => "`\"\"`".to_owned(),
            Some(value) => format!("`{value}`"),
            None => key.without.to_owned(),
        };
        let choices = key.choices.iter();
        let choices: String = choices
            .map(|(value, meaning)| format!("<br>`{value}`: {meaning}"))
            .collect();
        let colon = if choices.is_empty() { "" } else { ":" };
        table += &format!(
            "| `{}` | {default} | {}{colon}{choices} |\n",
            key.name, key.about
        );
    }
    table + "\n" + &reload(keys) + "\n\n"
}

fn reload(keys: &[Key]) -> String {
    let all = |reload| keys.iter().all(|key| key.reload == reload);
    let those = |reload| {
        let keys = keys.iter().filter(|key| key.reload == reload);
        let names: Vec<_> = keys.map(|key| format!("`{}`", key.name)).collect();
        names.join(", ")
    };
    if all(Reload::Now) {
        return "A reload takes over every change at once.".into();
    }
    if all(Reload::NextStart) {
        return "Changes take effect at the next start.".into();
    }
    let mut later = vec![format!("changes of {}", those(Reload::NextStart))];
    let by_value = those(Reload::ValueNow);
    if !by_value.is_empty() {
        later.push(format!("adding or removing {by_value}"));
    }
    format!(
        "A reload takes over every change at once, except for: {}. These take effect at the next \
         start.",
        later.join("; ")
    )
}

/// The example file: every key with its explanation.
pub fn example() -> String {
    let mut text = EXAMPLE_HEAD.to_owned();
    for key in Config::KEYS {
        text += "\n";
        comment(&mut text, &format!("{}.", key.about));
        match (key.kind, key.example) {
            (KeyType::ById(_), Some(id)) => text += &format!("[{}.{id}]\n", key.name),
            _ => text += &format!("[{}]\n", key.name),
        }
        example_section(&mut text, key);
    }
    text
}

fn example_section(text: &mut String, section: &Key) {
    let mut first = true;
    for key in section.below() {
        if section.brief {
            example_line(text, key, false);
            continue;
        }
        if !first {
            text.push('\n');
        }
        first = false;
        explain(text, key);
        if let KeyType::Tables(keys) = key.kind {
            text.push_str(&format!("# [[{}.{}]]\n", section.name, key.name));
            for key in keys {
                explain(text, key);
                example_line(text, key, false);
            }
        } else {
            example_line(text, key, key.in_use);
        }
    }
}

fn explain(text: &mut String, key: &Key) {
    let end = if key.choices.is_empty() { '.' } else { ':' };
    comment(text, &format!("{}{end}", key.about));
    let width = key.choices.iter().map(|(value, _)| value.chars().count());
    let width = width.max().unwrap_or_default();
    for (value, meaning) in key.choices {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "#   {value:width$}   {meaning}");
    }
}

/// The line that sets a key, or shows how to.
fn example_line(text: &mut String, key: &Key, in_use: bool) {
    let value = key.example.or(key.default).unwrap_or_default();
    let start = if in_use { "" } else { "# " };
    *text += &format!("{start}{} = {}\n", key.name, key.literal(value));
}

/// A text as a comment, wrapped.
fn comment(text: &mut String, words: &str) {
    let mut line = "#".to_owned();
    for word in words.split(' ') {
        if line.chars().count() + 1 + word.chars().count() > WIDTH {
            *text += &line;
            *text += "\n";
            "#".clone_into(&mut line);
        }
        line += " ";
        line += word;
    }
    *text += &line;
    *text += "\n";
}

#[cfg(test)]
mod tests {
    use super::*;

    const INNER: &[Key] =
        &[Key::new("shade", KeyType::Bool, Reload::Now, "Dark or light").default("true")];
    const KEYS: &[Key] = &[
        Key::new(
            "colour",
            KeyType::Text,
            Reload::NextStart,
            "Colour of the lamp",
        )
        .choices(&[("red", "stop"), ("green", "go")])
        .default("red"),
        Key::new("lamp", KeyType::Tables(INNER), Reload::Now, "The lamps"),
    ];

    /// Every key of the tables is in the schema, the page and the example file.
    #[test]
    fn a_listed_key_is_in_schema_page_and_example() {
        let schema = schema::table(KEYS);
        let colour = &schema["properties"]["colour"];
        assert_eq!(colour["type"], serde_json::json!(["string", "integer"]));
        assert_eq!(colour["default"], "red");
        assert!(
            colour["description"]
                .as_str()
                .unwrap()
                .contains("`green`: go")
        );
        let lamp = &schema["properties"]["lamp"]["items"]["properties"];
        assert_eq!(lamp["shade"]["type"], "boolean");

        let row = "| `colour` | `red` | Colour of the lamp:<br>`red`: stop<br>`green`: go |\n";
        let page = table(KEYS);
        assert!(page.contains(row), "{page}");
        assert!(
            page.contains("except for: changes of `colour`. These"),
            "{page}"
        );

        let mut example = String::new();
        let section = Key::new("room", KeyType::Table(KEYS), Reload::Now, "A room");
        example_section(&mut example, &section);
        assert_eq!(
            example,
            "# Colour of the lamp:\n#   red     stop\n#   green   go\n# colour = \"red\"\n\n\
             # The lamps.\n# [[room.lamp]]\n# Dark or light.\n# shade = true\n"
        );
    }

    #[test]
    fn a_page_keeps_what_is_outside_its_markers() {
        let marked = "a\n<!-- generated: tcp -->\nold\n<!-- end -->\nb\n";
        let made = page(marked).unwrap();
        assert!(
            made.starts_with("a\n<!-- generated: tcp -->\n\n| key |"),
            "{made}"
        );
        assert!(made.ends_with("<!-- end -->\nb\n"), "{made}");
        assert!(!made.contains("old"));
        assert_eq!(page(&made).unwrap(), made);
        assert!(page("<!-- generated: tcp -->\n").is_err());
        assert!(page("<!-- generated: tpc -->\n<!-- end -->").is_err());
    }
}
