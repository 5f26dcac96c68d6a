//! What a device does instead of answering, in words: it sends what is not HTTP, too much, or half an answer.
//!
//! Pure. A connection that breaks without any of that says nothing of the device.

use std::error::Error;
use std::io;

use super::HttpError;
use crate::device::problem::{Problem, ProblemCode};

impl HttpError {
    /// The problem of a device that answers every request so; none if the connection just broke.
    pub fn problem(&self) -> Option<Problem> {
        let (code, what) = self.what_came()?;
        let advice = match code {
            ProblemCode::NotUnderstood => ADVICE,
            _ => "it may be starting or in trouble: if this lasts, restart it",
        };
        Some(Problem::new(code, format!("{what}; {advice}")))
    }

    /// What came that is no answer in HTTP; none if the connection broke.
    pub fn not_http(&self) -> Option<String> {
        let (code, what) = self.what_came()?;
        (code == ProblemCode::NotUnderstood).then_some(what)
    }

    fn what_came(&self) -> Option<(ProblemCode, String)> {
        match self {
            Self::HeadTooLarge | Self::TooMuchSurplus | Self::SwitchedProtocols => {
                Some((ProblemCode::NotUnderstood, self.to_string()))
            }
            Self::NotConnected(_) | Self::Fenced(_) => None,
            Self::Broken(error) => cause(error),
        }
    }
}

/// What a person can do about a device that does not speak HTTP as one.
const ADVICE: &str = "check that the room's url is that of a Poly VideoOS device, and not of a proxy or of another product";

fn cause(error: &(dyn Error + 'static)) -> Option<(ProblemCode, String)> {
    let mut causes = std::iter::successors(Some(error), |cause| (*cause).source());
    let cut = || {
        let text = "the device ends the connection before its answer is complete";
        Some((ProblemCode::Offline, text.to_owned()))
    };
    causes.find_map(|cause| {
        if let Some(hyper) = cause.downcast_ref::<hyper::Error>() {
            if hyper.is_parse() {
                let text = format!("the device's answer is not valid HTTP ({hyper})");
                return Some((ProblemCode::NotUnderstood, text));
            }
            return hyper.is_incomplete_message().then(cut)?;
        }
        let io = cause.downcast_ref::<io::Error>()?;
        match io.kind() {
            io::ErrorKind::UnexpectedEof => cut(),
            // The library's, about the parts of a body.
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData
                if io
                    .get_ref()
                    .is_none_or(|inner| !inner.is::<rustls::Error>()) =>
            {
                let text = "the device's answer is not valid HTTP (in its body)";
                Some((ProblemCode::NotUnderstood, text.to_owned()))
            }
            _ => None,
        }
    })
}
