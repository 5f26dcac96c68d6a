//! How long a certificate that the gateway shows is valid, and the words if it is not, or not for long.
//!
//! A file holds the certificate and those that signed it: where one of them ends, so does the trust in the
//! first. Pure: the caller passes the time. Refuses nothing: whoever is shown the certificate does that.

use std::path::Path;

use rustls::pki_types::CertificateDer;
use time::{Duration, OffsetDateTime};

use super::pem::certificates;
use super::x509::X509;

/// A certificate is warned of from so long before its end: time to renew it, also by hand.
const WARNED_BEFORE_END: Duration = Duration::days(21);

/// From when until when the certificates of a file are valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validity {
    /// Of the first certificate, then of those that signed it, as far as the file holds them.
    chain: Vec<Dates>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Dates {
    not_before: Option<OffsetDateTime>,
    not_after: Option<OffsetDateTime>,
    /// The authority that has this certificate; none for the first one.
    authority: Option<String>,
}

impl Validity {
    /// Of the certificates in a file (PEM).
    ///
    /// # Errors
    /// The file cannot be used.
    pub fn of_file(path: &Path) -> Result<Self, String> {
        certificates(path).map(|certificates| Self::of(&certificates))
    }

    /// Of a certificate and those that signed it. What cannot be read has no dates. What is not needed does not
    /// count: an authority that signed itself, since who trusts it has it, and certificates that signed none
    /// of those before them.
    fn of(certificates: &[CertificateDer<'_>]) -> Self {
        let mut all = certificates.iter().map(|der| X509::parse(der));
        let Some(mut last) = all.next().flatten() else {
            return Self { chain: Vec::new() };
        };
        let mut chain = vec![Dates::of(&last, None)];
        for issuer in all.flatten() {
            if issuer.is_authority_of(&last) && !issuer.is_self_signed() {
                chain.push(Dates::of(&issuer, Some(last.issuer_name())));
                last = issuer;
            }
        }
        Self { chain }
    }

    /// When it ends: the first of these certificates.
    pub fn end(&self) -> Option<OffsetDateTime> {
        self.chain.iter().filter_map(|dates| dates.not_after).min()
    }

    /// What is wrong with it, or soon will be, as the rest of a sentence that begins with the certificate:
    /// `expires in 12 days, on 2026-12-08`.
    pub fn problem(&self, now: OffsetDateTime) -> Option<String> {
        self.chain.iter().find_map(|dates| {
            let problem = dates.problem(now)?;
            Some(match &dates.authority {
                None => problem,
                Some(name) => {
                    format!("holds the certificate of the authority {name:?}, which {problem}")
                }
            })
        })
    }
}

impl Dates {
    fn of(certificate: &X509<'_>, authority: Option<String>) -> Self {
        Self {
            not_before: certificate.not_before,
            not_after: certificate.not_after,
            authority,
        }
    }

    fn problem(&self, now: OffsetDateTime) -> Option<String> {
        if let Some(from) = self.not_before.filter(|from| now < *from) {
            let from = moment(from);
            return Some(format!(
                "is not valid before {from} (is the clock of this machine right?)"
            ));
        }
        // RFC 5280, 4.1.2.5: both dates belong to the time in which it is valid.
        let end = self.not_after?;
        if end < now {
            return Some(format!("expired on {}", moment(end)));
        }
        let left = end - now;
        (left < WARNED_BEFORE_END).then(|| format!("expires in {}, on {}", span(left), moment(end)))
    }
}

/// `2026-12-08 09:30 UTC`.
fn moment(at: OffsetDateTime) -> String {
    let at = at.to_offset(time::UtcOffset::UTC);
    format!("{} {:02}:{:02} UTC", at.date(), at.hour(), at.minute())
}

/// `12 days`, `5 hours`.
fn span(left: Duration) -> String {
    let (count, unit) = match (left.whole_days(), left.whole_hours()) {
        (0, 0) => return "less than an hour".to_owned(),
        (0, hours) => (hours, "hour"),
        (days, _) => (days, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural}")
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
    use time::{Date, Month, Time};

    use super::*;

    fn at(day: u8, hour: u8, minute: u8, second: u8) -> OffsetDateTime {
        let date = Date::from_calendar_date(2026, Month::December, day).unwrap();
        OffsetDateTime::new_utc(date, Time::from_hms(hour, minute, second).unwrap())
    }

    /// Valid in December: from the 2nd, 8:00, to the 30th, 9:30.
    fn december(name: &str) -> CertificateParams {
        let mut params = CertificateParams::new(vec!["gateway".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = at(2, 8, 0, 0);
        params.not_after = at(30, 9, 30, 0);
        params
    }

    fn alone() -> CertificateDer<'static> {
        let key = KeyPair::generate().unwrap();
        december("gateway").self_signed(&key).unwrap().into()
    }

    #[test]
    fn what_is_said_on_which_day() {
        let validity = Validity::of(&[alone()]);
        assert_eq!(validity.end(), Some(at(30, 9, 30, 0)));
        let clock =
            "is not valid before 2026-12-02 08:00 UTC (is the clock of this machine right?)";
        for (now, wanted) in [
            (at(1, 0, 0, 0), Some(clock)),
            (at(2, 7, 59, 59), Some(clock)),
            (at(2, 8, 0, 0), None),
            // Exactly three weeks.
            (at(9, 9, 30, 0), None),
            (
                at(9, 9, 30, 1),
                Some("expires in 20 days, on 2026-12-30 09:30 UTC"),
            ),
            (
                at(18, 0, 0, 0),
                Some("expires in 12 days, on 2026-12-30 09:30 UTC"),
            ),
            (
                at(29, 9, 30, 0),
                Some("expires in 1 day, on 2026-12-30 09:30 UTC"),
            ),
            (
                at(29, 9, 31, 0),
                Some("expires in 23 hours, on 2026-12-30 09:30 UTC"),
            ),
            (
                at(30, 8, 0, 0),
                Some("expires in 1 hour, on 2026-12-30 09:30 UTC"),
            ),
            (
                at(30, 9, 30, 0),
                Some("expires in less than an hour, on 2026-12-30 09:30 UTC"),
            ),
            (at(30, 9, 30, 1), Some("expired on 2026-12-30 09:30 UTC")),
            (at(31, 0, 0, 0), Some("expired on 2026-12-30 09:30 UTC")),
        ] {
            assert_eq!(validity.problem(now).as_deref(), wanted, "{now}");
        }
        // The time of another zone.
        let zone = time::UtcOffset::from_hms(5, 30, 0).unwrap();
        assert_eq!(validity.problem(at(2, 8, 0, 0).to_offset(zone)), None);
    }

    #[test]
    fn certificates_that_signed_it_count_as_far_as_they_are_needed() {
        let authority = |name: &str, end: u8| {
            let mut params = december(name);
            params.not_after = at(end, 0, 0, 0);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            (params, KeyPair::generate().unwrap())
        };
        let (root, root_key) = authority("Root", 20);
        let root_file: CertificateDer<'_> = root.self_signed(&root_key).unwrap().into();
        let root = Issuer::new(root, root_key);
        let (between, between_key) = authority("Between", 22);
        let between_file: CertificateDer<'_> =
            between.signed_by(&between_key, &root).unwrap().into();
        let between = Issuer::new(between, between_key);
        let mut params = december("gateway");
        params.not_after = at(30, 0, 0, 0);
        let own = params.signed_by(&KeyPair::generate().unwrap(), &between);
        let own: CertificateDer<'_> = own.unwrap().into();

        let own_problem = "expires in 7 days, on 2026-12-30 00:00 UTC";
        let authority_problem = "holds the certificate of the authority \"Between\", which expired on \
                                 2026-12-22 00:00 UTC";
        for (file, end, on_the_5th, on_the_23rd) in [
            (vec![&own], 30, None, own_problem),
            // The root is with those who trust it; the other certificate signed nothing here.
            (vec![&own, &root_file], 30, None, own_problem),
            (
                vec![&own, &between_file, &root_file],
                22,
                Some(
                    "holds the certificate of the authority \"Between\", which expires in 17 days, on \
                     2026-12-22 00:00 UTC",
                ),
                own_problem,
            ),
        ] {
            let file: Vec<_> = file.into_iter().cloned().collect();
            let validity = Validity::of(&file);
            assert_eq!(validity.end(), Some(at(end, 0, 0, 0)), "{validity:?}");
            assert_eq!(validity.problem(at(5, 0, 0, 0)).as_deref(), on_the_5th);
            assert_eq!(validity.problem(at(23, 0, 0, 0)).unwrap(), on_the_23rd);
        }
        let chain = Validity::of(&[own, between_file]);
        let mut alone = chain.clone();
        alone.chain.remove(0);
        assert_eq!(alone.problem(at(23, 0, 0, 0)).unwrap(), authority_problem);
    }

    #[test]
    fn what_cannot_be_read_is_not_warned_of() {
        let junk = CertificateDer::from(vec![0x30, 0x00]);
        for file in [
            &[][..],
            std::slice::from_ref(&junk),
            &[junk.clone(), alone()],
        ] {
            let validity = Validity::of(file);
            assert_eq!(
                (validity.end(), validity.problem(at(31, 0, 0, 0))),
                (None, None)
            );
        }
    }
}
