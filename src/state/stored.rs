//! A value as the store holds it: a room has some sixty, so each takes as little memory as it can.
//!
//! Pure. Owns which values are compressed. What is read is byte for byte what was written.

use std::sync::Arc;

use super::StateValue;
use crate::deflate::{compressed, decompressed};

/// Text from this size on is compressed. A device's lists (cameras, presets, meetings) are larger and
/// shrink to a third or less; what is shorter gains less than 200 bytes.
const SHORTEST_COMPRESSED: usize = 512;

/// A value of the store. The same value is always held in the same way, so what is held can be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum StoredValue {
    /// Short text. A `Bytes` would take as much again, to be shared.
    Short(Box<[u8]>),
    /// Long text, compressed.
    Compressed(Arc<[u8]>),
    /// A picture, or what compression does not halve: a document that is compressed already.
    Whole(Box<StateValue>),
}

impl From<StateValue> for StoredValue {
    fn from(value: StateValue) -> Self {
        if value.content_type.is_some() {
            return Self::Whole(Box::new(value));
        }
        if value.payload.len() < SHORTEST_COMPRESSED {
            return Self::Short(Vec::from(value.payload).into_boxed_slice());
        }
        let compressed = compressed(&value.payload);
        if compressed.len() <= value.payload.len() / 2 {
            Self::Compressed(compressed.into())
        } else {
            Self::Whole(Box::new(value))
        }
    }
}

impl From<StoredValue> for StateValue {
    fn from(stored: StoredValue) -> Self {
        match stored {
            StoredValue::Short(text) => Self::text(text),
            StoredValue::Compressed(text) => Self::text(decompressed(&text)),
            StoredValue::Whole(value) => *value,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(length: usize) -> StateValue {
        StateValue::text("camera ".repeat(length)[..length].to_owned())
    }

    /// Bytes without repetitions.
    fn noise(length: usize) -> Vec<u8> {
        let mut state = 1_u32;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state.to_le_bytes()[1]
        };
        std::iter::repeat_with(&mut next).take(length).collect()
    }

    #[test]
    fn every_value_comes_back_byte_for_byte() {
        let picture = StateValue {
            payload: noise(5000).into(),
            content_type: Some("image/jpeg".into()),
        };
        let lengths = [
            0,
            1,
            SHORTEST_COMPRESSED - 1,
            SHORTEST_COMPRESSED,
            5000,
            1 << 20,
        ];
        let texts = lengths.map(text);
        let odd = StateValue::text(noise(5000));
        for value in texts.into_iter().chain([picture, odd]) {
            let stored = StoredValue::from(value.clone());
            assert_eq!(stored, StoredValue::from(value.clone()));
            assert_eq!(StateValue::from(stored), value);
        }
    }

    #[test]
    fn long_text_is_held_compressed_and_pictures_as_they_are() {
        let StoredValue::Compressed(held) = StoredValue::from(text(5000)) else {
            unreachable!()
        };
        assert!(held.len() < 500, "{}", held.len());
        let picture = StateValue {
            content_type: Some("image/jpeg".into()),
            ..text(5000)
        };
        assert!(matches!(StoredValue::from(picture), StoredValue::Whole(_)));
        let noise = StateValue::text(noise(5000));
        assert!(matches!(StoredValue::from(noise), StoredValue::Whole(_)));
        assert!(matches!(
            StoredValue::from(text(100)),
            StoredValue::Short(_)
        ));
    }

    #[test]
    fn a_stored_value_is_small_in_the_map() {
        assert_eq!(size_of::<StoredValue>(), 24);
    }
}
