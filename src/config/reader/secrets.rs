//! Reading secrets: passwords and tokens, directly or from a file.
//!
//! A secret is a text that is not empty. It is taken as it is written, but for a byte order mark at
//! its start and the line ends after it in a file. No message holds it.

use std::path::Path;

use super::Reader;
use crate::config::Secret;
use crate::config::key::KeyType;
use crate::config::oddities::oddities;
use crate::config::text_file::{self, TextFileError};

/// No password or token is longer than this many KiB; a larger file is another one.
const LARGEST_SECRET_FILE: u64 = 64;

/// Where systemd puts the credentials of a unit.
const CREDENTIALS: &str = "/run/credentials";

impl Reader<'_> {
    /// A secret, given directly as `key` or as the file that `key_file` names.
    pub fn secret(&mut self, key: &str) -> Option<Secret> {
        let file_key = format!("{key}_file");
        let both = self.both(key, &file_key);
        let fits = |kind| matches!(kind, KeyType::Secret);
        let given = self.take_any_text(key, fits, "a text");
        let given = given.and_then(|text| self.checked(key, text));
        if given.is_some() && self.sources.variable(&self.path_of(key)).is_none() {
            self.findings.borrow_mut().secret_places.in_file = true;
        }
        let written = self.path(&file_key);
        if both {
            self.error(
                &file_key,
                format!("{key} is set too; remove one of the two"),
            );
            return given;
        }
        match written {
            Some(written) => self.secret_file(&file_key, &written),
            None => given,
        }
    }

    /// A secret that must be there.
    pub fn required_secret(&mut self, key: &str) -> Option<Secret> {
        let given = self.has(key) || self.has(&format!("{key}_file"));
        let secret = self.secret(key);
        if !given {
            self.error(key, format!("is missing; give {key} or {key}_file"));
        }
        secret
    }

    fn secret_file(&mut self, key: &str, written: &str) -> Option<Secret> {
        let path = self.sources.beside_file(written);
        let mut findings = self.findings.borrow_mut();
        findings.secret_places.files.push(path.clone());
        drop(findings);
        match text_file::read(&path, LARGEST_SECRET_FILE) {
            Ok(text) => self.checked(key, text.trim_end_matches(['\r', '\n']).to_owned()),
            // Somebody may have written the secret itself where the name of its file is wanted.
            Err(error) if Path::new(written).is_relative() && !path.exists() => {
                let why = match error {
                    TextFileError::Denied(_) => format!("the file {error}"),
                    _ => self.not_beside_file(written),
                };
                self.error(key, why);
                None
            }
            Err(error) => {
                let is_credential = path.starts_with(CREDENTIALS);
                let hint = match error {
                    TextFileError::Missing if is_credential => {
                        "; systemd puts it there while the unit runs"
                    }
                    _ => "",
                };
                self.error(key, format!("{} {error}{hint}", path.display()));
                None
            }
        }
    }

    /// The secret, if it is one; warns of what looks like a mistake.
    fn checked(&mut self, key: &str, text: String) -> Option<Secret> {
        let text = text_file::without_mark(text);
        if text.trim().is_empty() {
            self.error(key, "the secret is empty");
            return None;
        }
        for oddity in oddities(&text) {
            self.warn_of(key, format_args!("the secret {oddity}"));
        }
        Some(Secret::new(text))
    }
}
