//! Which HTTP status says what a result says.

use http::StatusCode;

use crate::command::ErrorCode;

/// The status for a code.
pub fn status(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::InvalidPayload | ErrorCode::IgnoredRetained => StatusCode::BAD_REQUEST,
        ErrorCode::Forbidden => StatusCode::FORBIDDEN,
        ErrorCode::UnknownRoom | ErrorCode::UnknownCommand | ErrorCode::NotFound => {
            StatusCode::NOT_FOUND
        }
        // What the command wants and what holds there by now exclude each other.
        ErrorCode::Superseded | ErrorCode::ModeLocked => StatusCode::CONFLICT,
        ErrorCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::Busy => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::Unsupported => StatusCode::NOT_IMPLEMENTED,
        // The device's part: it answered, but not so; 401 would be about this gateway's tokens.
        ErrorCode::DeviceError | ErrorCode::Unauthorized | ErrorCode::OutcomeUnknown => {
            StatusCode::BAD_GATEWAY
        }
        ErrorCode::Offline | ErrorCode::LockedOut => StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::Timeout | ErrorCode::Expired => StatusCode::GATEWAY_TIMEOUT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_those_of_the_documentation() {
        let page = include_str!("../../../docs/http.md");
        for code in ErrorCode::ALL {
            let row = format!("| {} | `", status(code).as_u16());
            let name = format!("`{}`", code.as_str());
            let mut rows = page.lines().filter(|line| line.starts_with(&row));
            assert!(rows.any(|line| line.contains(&name)), "{row} {name}");
        }
    }
}
