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
        for (code, wanted) in [
            (ErrorCode::InvalidPayload, 400),
            (ErrorCode::Forbidden, 403),
            (ErrorCode::UnknownRoom, 404),
            (ErrorCode::Superseded, 409),
            (ErrorCode::TooLarge, 413),
            (ErrorCode::Busy, 429),
            (ErrorCode::Unsupported, 501),
            (ErrorCode::DeviceError, 502),
            (ErrorCode::Offline, 503),
            (ErrorCode::Timeout, 504),
        ] {
            assert_eq!(status(code).as_u16(), wanted, "{code:?}");
        }
    }
}
