//! The HTTP status of each error code. `docs/http.md` has the same table.

use http::StatusCode;

use crate::command::ErrorCode;

/// The status of a code.
pub fn status(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::InvalidPayload | ErrorCode::IgnoredRetained => StatusCode::BAD_REQUEST,
        ErrorCode::Forbidden => StatusCode::FORBIDDEN,
        ErrorCode::UnknownRoom | ErrorCode::UnknownCommand | ErrorCode::NotFound => {
            StatusCode::NOT_FOUND
        }
        // The command conflicts with a newer one or with the device's mode.
        ErrorCode::Superseded | ErrorCode::ModeLocked => StatusCode::CONFLICT,
        ErrorCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::Busy => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::Unsupported => StatusCode::NOT_IMPLEMENTED,
        // The device failed. Not 401, which would mean that a token for the gateway is missing.
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
