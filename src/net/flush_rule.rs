//! When a door or a link writes: at once after the last answer, else after one turn of the scheduler.
//!
//! A write costs a system call, and with TLS a record. Whatever else is ready to run may have more
//! for the same reader, so a writer lets it run once and then writes everything together. But the
//! reader who gets the last answer it waits for is served at once: nothing more is to come that
//! could share the write, and waiting would only delay the answer.

/// Says for one writer whether to let others run before the next write.
#[derive(Debug, Default)]
pub struct FlushRule {
    /// Others have run since the last write.
    yielded: bool,
}

impl FlushRule {
    /// Something waits to be written. True: yield to the scheduler once, and collect again what
    /// there is; false: write. `is_last_answer`: the newest of it is an answer, and the reader waits
    /// for no other.
    pub fn should_yield(&mut self, is_last_answer: bool) -> bool {
        !is_last_answer && !std::mem::replace(&mut self.yielded, true)
    }

    /// Everything is being written now.
    pub fn written(&mut self) {
        self.yielded = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_run_once_before_a_write_but_not_before_a_last_answer() {
        let mut rule = FlushRule::default();
        assert!(rule.should_yield(false));
        // What came meanwhile does not delay the write again.
        assert!(!rule.should_yield(false));
        rule.written();
        assert!(!rule.should_yield(true));
        rule.written();
        assert!(rule.should_yield(false));
        assert!(!rule.should_yield(true));
    }
}
