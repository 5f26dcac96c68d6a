use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::doors::payers::{PayerId, Payers};

const COST: Duration = Duration::from_millis(8);

/// How many requests of this cost a payer has handled in a time, over many connections at once.
async fn handled(payer: Arc<Payer>, connections: usize, until: Instant) -> u32 {
    let connection = || async {
        let mut handled = 0;
        while let Ok(admitted) = tokio::time::timeout_at(until, payer.admit()).await {
            admitted.charge(COST);
            handled += 1;
            // Otherwise a paused clock does not know that the others wait.
            tokio::task::yield_now().await;
        }
        handled
    };
    let all = (0..connections).map(|_| connection());
    futures_util::future::join_all(all).await.iter().sum()
}

#[tokio::test(start_paused = true)]
async fn many_connections_of_one_payer_get_no_more_than_one_has() {
    let time = Duration::from_secs(10);
    for connections in [1, 30] {
        let payers = Payers::new(OWN_TIME);
        let flood = payers.of(PayerId::Token(1));
        let flooding = handled(flood, connections, Instant::now() + time);
        let used = COST * flooding.await;
        let share =
            OWN_TIME + SHARED_TIME + time / OWN_MILLISECOND_IN + time / SHARED_MILLISECOND_IN;
        assert!(
            used > share / 2 && used <= share + 4 * COST,
            "{used:?} of {share:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn who_has_time_of_his_own_waits_for_nobody() {
    let payers = Payers::new(OWN_TIME);
    let until = Instant::now() + Duration::from_secs(10);
    let floods = (1..9).map(|n| handled(payers.of(PayerId::Token(n)), 30, until));
    let honest = async {
        let payer = payers.of(PayerId::Token(0));
        let mut longest = Duration::ZERO;
        while Instant::now() < until {
            let begun = Instant::now();
            payer.admit().await.charge(Duration::from_micros(100));
            longest = longest.max(begun.elapsed());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        longest
    };
    let (longest, all) = tokio::join!(honest, futures_util::future::join_all(floods));
    assert_eq!(longest, Duration::ZERO);
    // They share the rest, and none goes without.
    let (least, most) = (all.iter().min().unwrap(), all.iter().max().unwrap());
    assert!(least * 2 > *most, "{all:?}");
}

/// However little of a processor there is: no time passes here, so no account is ever empty.
#[tokio::test(start_paused = true)]
async fn a_payers_requests_are_worked_on_one_after_the_other() {
    let payers = Payers::new(OWN_TIME);
    let payer = payers.of(PayerId::Token(1));
    let first = payer.admit().await;
    first.charge_before(Duration::ZERO);
    let mut others: Vec<_> = (0..100).map(|_| Box::pin(payer.admit())).collect();
    for other in &mut others {
        assert!(futures_util::poll!(other).is_pending());
    }
    // Others wait for none of them.
    let other = payers.of(PayerId::Token(2));
    assert!(futures_util::poll!(std::pin::pin!(other.admit())).is_ready());
    let mut last = first;
    for mut next in others {
        assert!(futures_util::poll!(&mut next).is_pending());
        // It has been worked on, and may wait for its device as long as that takes.
        last.charge(Duration::ZERO);
        let std::task::Poll::Ready(admitted) = futures_util::poll!(&mut next) else {
            panic!("the next one waits");
        };
        last = admitted;
    }
    // One that goes before it was worked on gives its turn back.
    let mut next = Box::pin(payer.admit());
    assert!(futures_util::poll!(&mut next).is_pending());
    drop(last);
    assert!(futures_util::poll!(&mut next).is_ready());
}

fn address(n: u32) -> PayerId {
    PayerId::Address(crate::network::Network::of(
        std::net::Ipv4Addr::from_bits(n).into(),
    ))
}

#[tokio::test(start_paused = true)]
async fn strangers_of_any_number_of_addresses_have_a_total_and_a_newcomer_waits_for_few_of_them() {
    let time = Duration::from_secs(10);
    for (addresses, connections) in [(1, 60), (300, 1)] {
        let payers = Payers::new(OWN_TIME);
        let strangers = payers.strangers();
        let until = Instant::now() + time;
        let floods = (1..=addresses).map(|n| handled(strangers.of(address(n)), connections, until));
        let floods = futures_util::future::join_all(floods);
        let honest = async {
            let mut longest = [Duration::ZERO; 2];
            while Instant::now() < until {
                let payers = [payers.of(PayerId::Token(1)), strangers.of(address(0))];
                for (payer, longest) in payers.into_iter().zip(&mut longest) {
                    let begun = Instant::now();
                    payer.admit().await.charge(Duration::from_micros(100));
                    *longest = begun.elapsed().max(*longest);
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            longest
        };
        let (all, [token, stranger]) = tokio::join!(floods, honest);
        let used = COST * all.iter().sum::<u32>();
        let most = 2 * (STRANGERS_TIME + time / STRANGERS_MILLISECOND_IN);
        assert!(used > time / 5 && used <= most + 4 * COST, "{used:?}");
        assert_eq!(token, Duration::ZERO);
        // Each address that floods has one request before it at most.
        let most = COST * addresses * STRANGERS_MILLISECOND_IN + COST * 4;
        assert!(stranger <= most, "{stranger:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn strangers_are_worked_on_one_after_the_other() {
    let payers = Payers::new(OWN_TIME);
    let strangers = payers.strangers();
    let first = strangers.of(address(0)).admit().await;
    assert!(!strangers.of(address(1)).has_time());
    let mut pieces = 0;
    let work = poll_fn(|cx| {
        pieces += 1;
        cx.waker().wake_by_ref();
        match pieces {
            3 => Poll::Ready(()),
            _ => Poll::Pending,
        }
    });
    let payer = strangers.of(address(1));
    let mut work = Box::pin(paid(work, &payer));
    assert!(futures_util::poll!(&mut work).is_pending());
    // Who has shown a token waits for none of them.
    assert!(futures_util::poll!(std::pin::pin!(payers.of(PayerId::Token(1)).admit())).is_ready());
    first.charge(Duration::ZERO);
    // Each piece is followed by another stranger's.
    for _ in 0..2 {
        assert!(futures_util::poll!(&mut work).is_pending());
        let next = strangers.of(address(2)).admit().await;
        assert!(futures_util::poll!(&mut work).is_pending());
        next.charge(Duration::ZERO);
    }
    work.await;
    assert_eq!(pieces, 3);
}

#[tokio::test(start_paused = true)]
async fn what_is_owed_has_a_most() {
    let payers = Payers::new(OWN_TIME);
    let payer = payers.of(PayerId::Token(1));
    payer.admit().await.charge(Duration::from_secs(600));
    payers.of(PayerId::Token(2)).admit().await;
    let shared = payer.admit().await;
    shared.charge(Duration::from_secs(600));
    let begun = Instant::now();
    payer.admit().await;
    assert!(begun.elapsed() <= MOST_OWED * SHARED_MILLISECOND_IN);
}

/// Works for about so long.
async fn work(time: Duration) {
    let begun = thread_time();
    let mut n = 0_u64;
    while thread_time() - begun < time {
        n = std::hint::black_box(n.wrapping_add(1));
    }
}

#[tokio::test]
async fn what_is_measured_inside_is_paid_for_once() {
    let (mut outside, mut inside) = (Duration::ZERO, Duration::ZERO);
    let all = async {
        work(Duration::from_millis(5)).await;
        metered(work(Duration::from_millis(30)), |cost| inside += cost).await;
    };
    metered(all, |cost| outside += cost).await;
    assert!(inside >= Duration::from_millis(29), "{inside:?}");
    assert!((5..25).contains(&outside.as_millis()), "{outside:?}");
}

#[tokio::test]
async fn waiting_costs_nothing_and_working_does() {
    let mut waited = Duration::ZERO;
    metered(tokio::time::sleep(Duration::from_millis(50)), |cost| {
        waited += cost
    })
    .await;
    let mut worked = Duration::ZERO;
    let work = work(Duration::from_millis(30));
    metered(work, |cost| worked += cost).await;
    assert!(waited < Duration::from_millis(20), "{waited:?}");
    assert!(worked >= Duration::from_millis(29), "{worked:?}");
}

/// As the run queue of a processor that does nothing else: the accounts never get empty there.
#[tokio::test]
async fn of_strangers_without_end_one_goes_on_while_everybody_else_has_a_turn() {
    for (addresses, connections) in [(1, 300), (300, 1)] {
        let strangers = Payers::new(OWN_TIME).strangers();
        let handled = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = (0..addresses * connections)
            .map(|n| {
                let payer = strangers.of(PayerId::Token(n / connections));
                let handled = handled.clone();
                tokio::spawn(async move {
                    loop {
                        handled.fetch_add(1, Ordering::Relaxed);
                        payer.others_run_first().await;
                    }
                })
            })
            .collect();
        let so_far = || handled.load(Ordering::Relaxed);
        // The first of each is looked at before it waits.
        while so_far() < tasks.len() {
            tokio::task::yield_now().await;
        }
        let mut most = 0;
        let before = so_far();
        for _ in 0..500 {
            let before = so_far();
            tokio::task::yield_now().await;
            most = most.max(so_far() - before);
        }
        assert!(most <= 2, "{most} of {addresses} addresses in one round");
        assert!(so_far() - before >= 100, "they go on");
        tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}
