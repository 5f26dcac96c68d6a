//! The one-time code of the setup page.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::secret::{SecretDigest, random_bytes};

/// Letters and digits that nobody confuses.
const ALPHABET: &[u8; 32] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZ";
/// 50 random bits: with the few attempts that there are, more than enough.
const CODE_LENGTH: usize = 10;
/// Wrong codes until the page ends. People mistype; ten are no attack, and help none.
const MOST_WRONG_CODES: u32 = 10;

/// What a code that was sent is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodeCheck {
    /// The right one.
    Right,
    /// A wrong one.
    Wrong,
    /// Wrong once too often: no code is right any more.
    Spent,
}

/// The code, of which only a digest is kept.
#[derive(Debug)]
pub struct OneTimeCode {
    digest: SecretDigest,
    wrong: AtomicU32,
}

impl OneTimeCode {
    /// A new one, and its text for people: `ABCDE-FGHJK`.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn new() -> Result<(Self, String), String> {
        let random: [u8; CODE_LENGTH] = random_bytes().map_err(|error| error.to_string())?;
        let letters = random.map(|byte| char::from(ALPHABET[usize::from(byte % 32)]));
        let text: String = letters.iter().collect();
        let shown = format!("{}-{}", &text[..CODE_LENGTH / 2], &text[CODE_LENGTH / 2..]);
        let code = Self {
            digest: SecretDigest::of(text.as_bytes()),
            wrong: AtomicU32::new(0),
        };
        Ok((code, shown))
    }

    /// Compares in constant time. Case, blanks and hyphens do not matter.
    pub fn check(&self, sent: &str) -> CodeCheck {
        if self.wrong.load(Ordering::Relaxed) >= MOST_WRONG_CODES {
            return CodeCheck::Spent;
        }
        let letters = sent.chars().filter(|c| !c.is_whitespace() && *c != '-');
        let plain: String = letters.map(|c| c.to_ascii_uppercase()).collect();
        if SecretDigest::of(plain.as_bytes()) == self.digest {
            return CodeCheck::Right;
        }
        if self.wrong.fetch_add(1, Ordering::Relaxed) + 1 >= MOST_WRONG_CODES {
            CodeCheck::Spent
        } else {
            CodeCheck::Wrong
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_taken_as_people_type_it_and_only_so_often() {
        let (code, shown) = OneTimeCode::new().unwrap();
        assert_ne!(shown, OneTimeCode::new().unwrap().1);
        for typed in [
            shown.clone(),
            shown.to_lowercase(),
            shown.replace('-', " "),
            format!(" {shown} "),
        ] {
            assert_eq!(code.check(&typed), CodeCheck::Right, "{typed}");
        }
        for wrong in ["", "-", &shown[..8], "ABCDE-ABCDE0"] {
            assert_eq!(code.check(wrong), CodeCheck::Wrong, "{wrong}");
        }
        for _ in 4..MOST_WRONG_CODES - 1 {
            assert_eq!(code.check("x"), CodeCheck::Wrong);
        }
        assert_eq!(code.check("x"), CodeCheck::Spent);
        assert_eq!(code.check(&shown), CodeCheck::Spent);
    }
}
