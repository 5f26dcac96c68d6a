//! Checks commands that carry no mark (keys and toggles). One of a kind is sent at a time.

use tokio::time::Instant;

use super::Judge;
use crate::commands::Proof;
use crate::ledger::Sent;
use crate::report::Check;

impl Judge<'_> {
    pub(super) fn keys_and_toggles(&self) {
        for (number, room) in self.world.rooms.iter().enumerate() {
            let evidence = &self.rooms[&number];
            let mine = || {
                self.sent
                    .iter()
                    .filter(|sent| sent.command.room == room.target.id)
            };
            let of = |wanted: fn(&Proof) -> bool| {
                let mut all: Vec<_> = mine().filter(|sent| wanted(&sent.command.proof)).collect();
                all.sort_by_key(|sent| sent.at);
                all
            };
            let keys = of(|proof| matches!(proof, Proof::Keys(_)));
            for (place, sent) in keys.iter().enumerate() {
                let until = keys.get(place + 1).map(|next| next.at);
                let pressed = between(&evidence.keys, sent.at, until);
                let pressed: String = pressed.map(|(_, key)| key.as_str()).collect();
                self.keys(sent, &pressed);
            }
            let toggles = of(|proof| *proof == Proof::Toggle);
            for (place, sent) in toggles.iter().enumerate() {
                let until = toggles.get(place + 1).map(|next| next.at);
                let set: Vec<bool> = between(&evidence.toggles, sent.at, until)
                    .map(|(_, on)| *on)
                    .collect();
                let before = evidence.toggles.iter().rfind(|(at, _)| *at < sent.at);
                self.toggle(sent, before.map(|(_, on)| *on), &set);
            }
        }
    }

    fn keys(&self, sent: &Sent, pressed: &str) {
        let Proof::Keys(keys) = &sent.command.proof else {
            return;
        };
        self.count(Check::Once, "key sequences");
        let good = match sent.code() {
            Some("ok") => pressed == keys,
            Some("outcome_unknown" | "offline" | "timeout" | "device_error" | "mode_locked")
            | Some("forbidden" | "unsupported" | "unauthorized" | "too_large")
            | None => keys.starts_with(pressed),
            Some(_) => pressed.is_empty(),
        };
        if !good {
            let message = format!("the keys {keys} were pressed as \"{pressed}\"");
            self.violation(Check::Once, &message, sent, &[]);
        }
    }

    fn toggle(&self, sent: &Sent, before: Option<bool>, set: &[bool]) {
        self.count(Check::Once, "toggles");
        let same = set.iter().all(|on| Some(on) == set.first());
        let inverted = before.is_none() || set.is_empty() || set.first() != before.as_ref();
        let done = sent.code() != Some("ok") || !set.is_empty();
        if !same || !inverted || !done {
            let message = format!("a toggle from {before:?} set {set:?}");
            self.violation(Check::Once, &message, sent, &[]);
        }
    }
}

/// The entries from `from` until `to`.
fn between<T>(
    all: &[(Instant, T)],
    from: Instant,
    until: Option<Instant>,
) -> impl Iterator<Item = &(Instant, T)> {
    all.iter()
        .filter(move |(at, _)| *at >= from && until.is_none_or(|until| *at < until))
}
