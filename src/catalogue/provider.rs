//! The providers that can run the room (Poly, Teams, Zoom, none), and which of them does.
//!
//! Pure. The entries are in `areas::providers`; the room's executor waits until a switch has ended.

use serde_json::Value;

use super::entity::SelectOption;
use super::quirks::{error_word, text};
use crate::command::{ErrorCode, Failure};
use crate::nearest::Nearest;
use crate::visible::quoted_start;

/// The provider in which a device makes calls of its own, and how the names of its packages begin.
const OWN_PROVIDER: &str = "poly";
const OWN_PACKAGES: &str = "com.poly.";

/// The name that runs the room, from the value of `system/mode`: a device in device mode names no persona, or
/// no app. `None` while it names neither.
pub fn active_persona(mode: &Value) -> Option<&str> {
    let named = ["activePersona", "app"].map(|member| text(&mode[member]));
    let mut named = named.into_iter().flatten().map(str::trim);
    named.find(|name| !name.is_empty())
}

/// Whether the device's own provider, Poly, goes by this name: of the persona, the app or its package.
pub fn is_own_provider(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name == OWN_PROVIDER || name.starts_with(OWN_PACKAGES)
}

/// One provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provider {
    /// The name by which the device takes it: `appName`.
    pub name: String,
    /// Every name it goes by: of the app, the persona and the package.
    words: Vec<String>,
}

impl Provider {
    fn of(app: &Value) -> Option<Self> {
        let word = |member: &str| text(&app[member]).map(str::to_owned);
        let name = word("appName").filter(|name| !name.trim().is_empty())?;
        let others = ["personaName", "packageName"].into_iter().filter_map(word);
        Some(Self {
            words: std::iter::once(name.clone()).chain(others).collect(),
            name,
        })
    }

    fn is_called(&self, name: &str) -> bool {
        let mut words = self.words.iter();
        words.any(|word| word.eq_ignore_ascii_case(name))
    }
}

/// What the device says it has.
#[derive(Debug)]
pub struct Providers(Vec<Provider>);

impl Providers {
    /// From the value of `system/providers`.
    pub fn of(list: &Value) -> Self {
        let apps = list.as_array().into_iter().flatten();
        Self(apps.filter_map(Provider::of).collect())
    }

    /// The provider whose `appName` this is, in any case.
    ///
    /// # Errors
    /// `invalid_payload` with the names that the device has.
    pub fn find(&self, name: &str) -> Result<&Provider, Failure> {
        let mut all = self.0.iter();
        let found = all.find(|provider| provider.name.eq_ignore_ascii_case(name.trim()));
        found.ok_or_else(|| {
            let near = Nearest::of(name, self.0.iter().map(|it| it.name.as_str()));
            let known: Vec<_> = near.names.iter().map(|name| quoted_start(name)).collect();
            let has = match (known.is_empty(), near.known) {
                (_, 0) => "it names none".to_owned(),
                (true, known) => format!("it has {known} others"),
                (false, _) if near.is_part() => {
                    format!(
                        "of its {}, the nearest are {}",
                        near.known,
                        known.join(", ")
                    )
                }
                _ => format!("it has {}", known.join(", ")),
            };
            let message = format!(
                "the device has no provider \"{}\"; {has}",
                quoted_start(name)
            );
            Failure::new(ErrorCode::InvalidPayload, message)
        })
    }

    /// The provider that runs the room, from the value of `system/mode`. `None` while the device names
    /// none or, as it switches, two.
    pub fn active(&self, mode: &Value) -> Option<&Provider> {
        let named = ["activePersona", "app"].map(|member| text(&mode[member]));
        let mut named = named
            .into_iter()
            .flatten()
            .filter_map(|name| self.0.iter().find(|provider| provider.is_called(name)));
        let first = named.next()?;
        named.all(|other| other == first).then_some(first)
    }
}

/// The providers as options, from the value of `system/providers`. The keys are in small letters.
pub(super) fn options(list: &Value) -> Vec<SelectOption> {
    let option = |provider: Provider| SelectOption {
        keys: provider
            .words
            .iter()
            .map(|word| word.to_lowercase())
            .collect(),
        name: provider.name,
    };
    Providers::of(list).0.into_iter().map(option).collect()
}

/// Whether the device accepted a switch.
///
/// # Errors
/// `device_error` with its word for why not.
pub fn accepted(answer: &Value) -> Result<(), Failure> {
    match error_word(answer) {
        None => Ok(()),
        Some(error) => {
            let message = format!("the device does not switch: {}", quoted_start(&error));
            Err(Failure::new(ErrorCode::DeviceError, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn providers() -> Providers {
        let app = |name: &str, persona: &str, package: &str| json!({"appName": name, "personaName": persona, "packageName": package});
        Providers::of(&json!([
            app("Poly", "Poly", "com.poly.polylauncher"),
            app("Teams", "Teams", "com.microsoft.skype.teams.ipphone"),
            app("Device Mode", "camuvc", "com.polycom.camuvc"),
            {"packageName": "no.name"},
            7,
        ]))
    }

    #[test]
    fn a_provider_is_found_by_its_name_and_the_known_ones_are_told() {
        let all = providers();
        for name in ["Teams", "teams", " TEAMS "] {
            assert_eq!(all.find(name).unwrap().name, "Teams");
        }
        for name in ["Webex", "", "camuvc"] {
            let failure = all.find(name).unwrap_err();
            assert_eq!(failure.code, ErrorCode::InvalidPayload);
            let wanted =
                format!("the device has no provider \"{name}\"; it has Poly, Teams, Device Mode");
            assert_eq!(failure.message, wanted);
        }
        let none = Providers::of(&Value::Null).find("Teams").unwrap_err();
        assert!(none.message.ends_with("it names none"));
    }

    #[test]
    fn the_active_provider_goes_by_any_of_its_names() {
        let all = providers();
        for (mode, wanted) in [
            (
                json!({"activePersona": "Teams", "app": "Teams"}),
                Some("Teams"),
            ),
            (json!({"activePersona": "TEAMS"}), Some("Teams")),
            (
                json!({"activePersona": "camuvc", "app": "Device Mode"}),
                Some("Device Mode"),
            ),
            (json!({"app": "com.poly.polylauncher"}), Some("Poly")),
            (
                json!({"activePersona": "Poly", "app": "com.poly.video"}),
                Some("Poly"),
            ),
            (json!({"activePersona": "Teams", "app": "Poly"}), None),
            (json!({"activePersona": "Webex"}), None),
            (json!({}), None),
            (Value::Null, None),
        ] {
            let active = all.active(&mode).map(|it| it.name.as_str());
            assert_eq!(active, wanted, "{mode}");
        }
    }

    #[test]
    fn each_provider_is_an_option_by_all_its_names() {
        let list = json!([
            {"appName": "Teams", "personaName": "Teams", "packageName": "com.microsoft.Teams"},
            {"appName": "Device Mode", "personaName": "camuvc"},
            {"packageName": "no.name"},
        ]);
        let shown: Vec<_> = options(&list)
            .into_iter()
            .map(|option| format!("{}: {}", option.name, option.keys.join(" ")))
            .collect();
        assert_eq!(
            shown,
            [
                "Teams: teams teams com.microsoft.teams",
                "Device Mode: device mode camuvc"
            ]
        );
        assert!(options(&Value::Null).is_empty());
    }

    #[test]
    fn an_error_of_the_device_is_named() {
        for answer in [json!({"error": "NOERROR"}), json!({}), Value::Null] {
            assert!(accepted(&answer).is_ok(), "{answer}");
        }
        let failure = accepted(&json!({"error": "INVALIDAPP"})).unwrap_err();
        assert_eq!(failure.code, ErrorCode::DeviceError);
        assert_eq!(failure.message, "the device does not switch: INVALIDAPP");
    }
}
