//! State frames that were written already: a thousand clients get the same one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::json;
use crate::state::StateValue;

#[derive(Debug)]
struct Frame {
    state: StateValue,
    text: Arc<str>,
}

/// The newest JSON frame of each state; bounded as the states are.
#[derive(Debug, Default)]
pub struct FrameCache {
    frames: Mutex<HashMap<Arc<str>, Frame>>,
}

impl FrameCache {
    /// The frame of a state as it is now.
    pub fn state(&self, topic: &Arc<str>, state: Option<&StateValue>) -> Arc<str> {
        let frames = || self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(state) = state else {
            frames().remove(topic);
            return json::state(topic, None).into();
        };
        if let Some(known) = frames().get(topic)
            && known.state == *state
        {
            return known.text.clone();
        }
        let text: Arc<str> = json::state(topic, Some(state)).into();
        let frame = Frame {
            state: state.clone(),
            text: text.clone(),
        };
        frames().insert(topic.clone(), frame);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_state_is_written_once_and_another_anew() {
        let written = FrameCache::default();
        let topic: Arc<str> = "a".into();
        let one = written.state(&topic, Some(&StateValue::text("1")));
        let same = written.state(&topic, Some(&StateValue::text("1")));
        assert!(Arc::ptr_eq(&one, &same));
        let two = written.state(&topic, Some(&StateValue::text("2")));
        assert_eq!(&*two, r#"{"topic":"a","payload":2,"retain":true}"#);
        written.state(&topic, None);
        assert!(written.frames.lock().unwrap().is_empty());
    }
}
