//! The limit of open files, and how it is shared out.
//!
//! Every connection takes one file. A process that has none left can neither accept a client nor
//! reach a device, so a limit is fixed for each consumer before it starts.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How many files this process may have open, after raising the limit to `wanted` as far as the
/// system permits.
pub fn open_file_limit(wanted: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    // Without a number there is no limit.
    let files = |value: Option<u64>| {
        value.map_or(usize::MAX, |value| value.try_into().unwrap_or(usize::MAX))
    };
    let (current, most) = (files(limit.current), files(limit.maximum));
    let raised = wanted.min(most);
    if raised <= current {
        return current;
    }
    let new = Rlimit {
        current: u64::try_from(raised).ok(),
        maximum: limit.maximum,
    };
    match setrlimit(Resource::Nofile, new) {
        Ok(()) => raised,
        Err(error) => {
            tracing::debug!(%error, "the limit of open files cannot be raised");
            current
        }
    }
}

/// Shares `available` files out: everyone gets what it wants, or an equal share with the others who
/// want more than that.
pub fn share_files<const N: usize>(available: usize, wanted: [usize; N]) -> [usize; N] {
    let mut shares = [0; N];
    let mut left = available;
    // The modest first, so that what they do not need goes to the others.
    let mut order: [usize; N] = std::array::from_fn(|index| index);
    order.sort_by_key(|index| wanted[*index]);
    for (served, index) in order.into_iter().enumerate() {
        shares[index] = wanted[index].min(left / (N - served));
        left -= shares[index];
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_does_not_need_goes_to_the_others() {
        assert_eq!(share_files(9000, [1000, 2000, 3000]), [1000, 2000, 3000]);
        assert_eq!(share_files(300, [1000, 0, 3000]), [150, 0, 150]);
        assert_eq!(share_files(300, [10, 2000, 3000]), [10, 145, 145]);
        assert_eq!(share_files(0, [1, 2]), [0, 0]);
    }

    #[test]
    fn the_limit_is_raised_only_as_far_as_needed() {
        let before = open_file_limit(0);
        assert!(before > 0);
        assert_eq!(open_file_limit(before), before);
    }
}
