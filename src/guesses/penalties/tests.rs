use std::net::IpAddr;

use super::*;

fn ipv4(n: u32) -> Network {
    Network::of(std::net::Ipv4Addr::from_bits(n).into())
}

fn ipv6(text: &str) -> Network {
    Network::of(text.parse::<IpAddr>().unwrap())
}

/// How many of the guesses that come every `every` for `time` are checked.
fn checked(penalties: &mut Penalties, network: Network, every: Duration, time: Duration) -> usize {
    let start = Instant::now();
    let mut now = start;
    let mut checked = 0;
    let mut guess = 1000;
    while now < start + time {
        guess += 1;
        let counted = penalties.count(network, guess, now);
        checked += usize::from(matches!(counted, Counted::First { .. }));
        now += every;
    }
    checked
}

#[test]
fn each_wrong_secret_is_answered_later() {
    let mut penalties = Penalties::default();
    let mut now = Instant::now();
    let mut waits = Vec::new();
    for guess in 0..8 {
        let Counted::First { wait, failures } = penalties.count(ipv4(1), guess, now) else {
            panic!("blocked at {guess}")
        };
        assert_eq!(u64::from(failures), guess + 1);
        waits.push(wait.as_millis());
        now += wait;
    }
    assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
    // Another address does not wait for it, and after a while it is forgotten.
    let first = Counted::First {
        wait: FIRST_PENALTY,
        failures: 1,
    };
    assert_eq!(penalties.count(ipv4(2), 0, now), first);
    assert_eq!(penalties.count(ipv4(1), 0, now + FORGET_AFTER * 2), first);
}

#[test]
fn guesses_that_do_not_wait_are_not_checked() {
    let mut penalties = Penalties::default();
    let millisecond = Duration::from_millis(1);
    let second = Duration::from_secs(1);
    assert_eq!(checked(&mut penalties, ipv4(1), millisecond, second), 6);
    assert!(penalties.blocked(ipv4(1), Instant::now()).is_some());
    assert!(penalties.blocked(ipv4(2), Instant::now()).is_none());
    // Six at once, then one in five seconds: 725 an hour.
    let mut penalties = Penalties::default();
    let hour = Duration::from_secs(3600);
    let guesses = checked(&mut penalties, ipv4(1), 10 * millisecond, hour);
    assert!((700..730).contains(&guesses), "{guesses}");
}

#[test]
fn a_wrong_secret_shown_again_waits_and_blocks_nobody() {
    let mut penalties = Penalties::default();
    let now = Instant::now();
    let mut last = Duration::ZERO;
    for _ in 0..100 {
        match penalties.count(ipv4(1), 7, now) {
            Counted::First { wait, .. } | Counted::Repeated { wait } => {
                assert!(wait >= last);
                last = wait;
            }
            Counted::Blocked { .. } => panic!("blocked"),
        }
    }
    assert_eq!(last, LONGEST_PENALTY);
    assert_eq!(penalties.blocked(ipv4(1), now), None);
}

#[test]
fn no_number_of_other_addresses_pushes_a_penalty_out() {
    let mut penalties = Penalties::default();
    let now = Instant::now();
    let second = Duration::from_secs(1);
    checked(&mut penalties, ipv4(0), second / 1000, second);
    for n in 1..20_000 {
        penalties.count(ipv4(n), 1, now);
    }
    assert_eq!(penalties.table.len(), MOST_PENALTIES);
    assert!(penalties.blocked(ipv4(0), now).is_some());
    // Addresses beyond the table have one penalty together.
    let beyond = checked(&mut penalties, ipv4(30_000), second / 1000, second)
        + checked(&mut penalties, ipv4(30_001), second / 1000, second);
    assert!(beyond <= 6, "{beyond}");
    // A while after the last guess there is space again.
    let later = now + FORGET_AFTER * 2;
    assert!(matches!(
        penalties.count(ipv4(40_000), 1, later),
        Counted::First { .. }
    ));
    assert_eq!(penalties.table.len(), 1);
}

#[test]
fn many_networks_of_one_ipv6_site_have_one_penalty() {
    let mut penalties = Penalties::default();
    let second = Duration::from_secs(1);
    let mut guesses = 0;
    for n in 0..2000 {
        let network = ipv6(&format!("2001:db8:1:{n:x}::1"));
        guesses += checked(&mut penalties, network, second / 10, second);
    }
    assert!(guesses <= 16 * 6 + 6, "{guesses}");
    assert_eq!(penalties.table.len(), 1);
    let other = ipv6("2001:db8:2::1");
    assert_eq!(penalties.blocked(other, Instant::now()), None);
}

#[test]
fn addresses_with_a_wrong_secret_each_keep_others_out_for_seconds_only() {
    let mut penalties = Penalties::default();
    let mut now = Instant::now();
    let most = u32::try_from(MOST_PENALTIES).unwrap();
    for n in 0..most + 100 {
        penalties.count(ipv4(n), n.into(), now);
    }
    let honest = ipv4(most + 1000);
    assert!(penalties.blocked(honest, now).is_some());
    now += LONGEST_PENALTY + SWEEP_INTERVAL;
    // Somebody goes on beyond the table; that is another address now.
    for guess in 0..100 {
        penalties.count(ipv4(most + 2000), 10_000 + guess, now);
    }
    assert_eq!(penalties.blocked(honest, now), None);
    assert!(penalties.blocked(ipv4(most + 2000), now).is_some());
}

#[test]
fn a_full_table_makes_no_guesses_faster() {
    let mut penalties = Penalties::default();
    let start = Instant::now();
    let (step, seconds) = (Duration::from_secs(2), 120);
    let mut checked = 0;
    let mut guess = 0;
    while start + step * guess < start + Duration::from_secs(seconds) {
        for n in 0..5000 {
            let counted = penalties.count(ipv4(n), guess.into(), start + step * guess);
            checked += u64::from(matches!(counted, Counted::First { .. }));
        }
        guess += 1;
    }
    // Six at once, then one in five seconds, for each place in the table and all beyond it.
    let most = (MOST_PENALTIES as u64 + 1) * (6 + seconds / LONGEST_PENALTY.as_secs());
    assert!(checked <= most, "{checked} of {most}");
}

#[test]
fn a_site_is_forgotten_no_sooner_than_its_networks() {
    let mut penalties = Penalties::default();
    let now = Instant::now();
    let networks = u32::try_from(MOST_NETWORKS_OF_SITE).unwrap();
    for n in 0..=networks {
        let network = ipv6(&format!("2001:db8:1:{n:x}::1"));
        for guess in 0..6 {
            penalties.count(network, guess, now);
        }
    }
    let together = penalties.table.values().next().unwrap().clone();
    assert_eq!(penalties.table.len(), 1);
    assert!(together.failures >= 6 * networks);
    assert!(!together.gives_way(now + LONGEST_PENALTY * 6 * networks));
    assert!(together.gives_way(now + LONGEST_PENALTY * 6 * (networks + 2)));
}
