//! The numbers of presets at the device, which may count them from zero.

use super::Executor;
use crate::catalogue::{CATALOGUE, Operation, PRESETS, Params, learned_preset_offset};
use crate::command::Failure;
use crate::rooms::reading::{ReadOutcome, Reading};

impl Executor<'_> {
    /// What is added to a preset's number. While that is not known, the device is asked first:
    /// otherwise the command could mean another preset.
    pub(super) async fn preset_offset(&mut self, operation: &Operation) -> Result<i8, Failure> {
        if !operation.takes("index") {
            return Ok(0);
        }
        if let Some(offset) = self.environment.preset_offset {
            return Ok(offset);
        }
        let Some((presets, _)) = CATALOGUE.reader(PRESETS) else {
            return Ok(0);
        };
        let learned = |_: &Self, reading: &Reading| match (reading.trouble(), &reading.outcome) {
            // The guide's numbers: nothing says otherwise.
            (_, ReadOutcome::Absent | ReadOutcome::Unsupported(_)) => Ok(None),
            (None, ReadOutcome::Value(list)) => Ok(Some(learned_preset_offset(list))),
            (Some(failure), _) => Err(failure),
            (None, ReadOutcome::Failed(failure)) => Err(failure.clone()),
        };
        match self.read(presets, &Params::new(), learned).await? {
            Ok(None) => Ok(0),
            Ok(Some(offset)) => {
                self.environment.preset_offset = offset;
                Ok(offset.unwrap_or(0))
            }
            Err(failure) => Err(Failure {
                message: format!(
                    "how the device counts its presets is not known: {}; try again, or set \
                     preset_offset",
                    failure.message
                ),
                ..failure
            }),
        }
    }
}
