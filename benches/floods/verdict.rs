//! What must hold, and the tables.

use poly2mqtt_bench_support::figures::{head, row};

use super::ledger::{DOORS, Phase};
use super::run::{Measured, Plan};

/// With floods, p99 of honest commands is at most this many times the undisturbed one.
const SLOWER_AT_MOST: f64 = 3.0;
/// Afterwards memory is at most this many times what it was, and this many KiB more: the system's
/// allocator keeps some pages that were used.
const MEMORY_FACTOR: f64 = 1.2;
const MEMORY_MORE: f64 = 10_240.0;
/// Afterwards this many more files are open at most, and one for each room: a second connection to a
/// device, opened when answers were slow, stays open for a while.
const FILES_MORE: usize = 20;

fn milliseconds(value: f64) -> String {
    if value.is_nan() {
        "–".to_owned()
    } else {
        format!("{value:.1} ms")
    }
}

/// A row for one attack by itself.
pub fn attack_row(measured: &Measured) {
    let Measured {
        balance,
        reports,
        before,
        highest,
        after,
        ..
    } = measured;
    let percentile = |phase, percent| milliseconds(balance.took(phase, None).percentile(percent));
    for report in reports {
        row(&[
            report.kind.name.to_owned(),
            report.describe(),
            format!("{} → {} → {}", before.mib(), highest.mib(), after.mib()),
            format!("{} → {} → {}", before.files, highest.files, after.files),
            format!(
                "{:.0} % → {:.0} %",
                measured.cpu[0] * 100.0,
                measured.cpu[1] * 100.0
            ),
            format!("{:.1} KB/s", measured.log_rate / 1000.0),
            format!(
                "{} → {}",
                percentile(Phase::Undisturbed, 50.0),
                percentile(Phase::Floods, 50.0)
            ),
            format!(
                "{} → {}",
                percentile(Phase::Undisturbed, 99.0),
                percentile(Phase::Floods, 99.0)
            ),
            format!(
                "{} ({} without)",
                milliseconds(measured.health[1].0),
                measured.health[1].1
            ),
            format!(
                "{} / {} / {} / {}",
                balance.lost_count,
                balance.doubled,
                balance.refused.values().sum::<u64>(),
                balance.disconnects.values().sum::<u64>()
            ),
        ]);
    }
    for (why, count) in balance.refused.iter().chain(&balance.disconnects) {
        eprintln!("  {count} × {why}");
    }
    if measured.devices.forbidden > 0 {
        eprintln!("  {} forbidden tones", measured.devices.forbidden);
    }
}

pub fn attack_head(title: &str) {
    head(
        title,
        &[
            "attack",
            "the attacker",
            "memory before → highest → after",
            "files",
            "the gateway's processor",
            "log",
            "honest p50",
            "honest p99",
            "longest /healthz",
            "lost / doubled / refused / disconnected",
        ],
    );
}

/// The tables of all floods at once.
pub fn tables(plan: &Plan, measured: &Measured) {
    let Measured { balance, .. } = measured;
    head(
        &format!(
            "{} floods at once for {:.0} s, {} honest rooms, {} honest commands a second",
            measured.reports.len(),
            plan.floods_for.as_secs_f64(),
            plan.rooms,
            plan.rate
        ),
        &["flood", "what", "did", "its processor"],
    );
    for report in &measured.reports {
        let share = report.cpu.as_secs_f64() / report.seconds * 100.0;
        row(&[
            report.kind.name.to_owned(),
            report.kind.what.to_owned(),
            report.describe(),
            format!("{share:.1} % of a core"),
        ]);
    }
    head(
        "Honest commands",
        &[
            "door",
            "undisturbed p50",
            "p99",
            "with floods p50",
            "p99",
            "p99 ratio",
            "afterwards p50",
            "p99",
            "commands",
        ],
    );
    let doors = DOORS.iter().map(|(door, name)| (Some(*door), *name));
    for (door, name) in doors.chain([(None, "**all**")]) {
        let [quiet, floods, after] = [Phase::Undisturbed, Phase::Floods, Phase::After]
            .map(|phase| balance.took(phase, door));
        row(&[
            name.to_owned(),
            milliseconds(quiet.percentile(50.0)),
            milliseconds(quiet.percentile(99.0)),
            milliseconds(floods.percentile(50.0)),
            milliseconds(floods.percentile(99.0)),
            format!(
                "**{:.2}**",
                floods.percentile(99.0) / quiet.percentile(99.0)
            ),
            milliseconds(after.percentile(50.0)),
            milliseconds(after.percentile(99.0)),
            format!("{} / {} / {}", quiet.len(), floods.len(), after.len()),
        ]);
    }
    head(
        "The gateway",
        &[
            "",
            "undisturbed",
            "with floods",
            &format!("{:.0} s afterwards", plan.after.as_secs_f64()),
        ],
    );
    let Measured {
        before,
        highest,
        after,
        ..
    } = measured;
    row(&[
        "memory".into(),
        before.mib(),
        format!("at most {}", highest.mib()),
        after.mib(),
    ]);
    row(&[
        "open files".into(),
        before.files.to_string(),
        format!("at most {}", highest.files),
        after.files.to_string(),
    ]);
    let cpu = measured
        .cpu
        .map(|share| format!("{:.0} % of a core", share * 100.0));
    row(&[
        "processor".into(),
        cpu[0].clone(),
        cpu[1].clone(),
        "–".into(),
    ]);
    let [quiet, floods] = measured
        .health
        .map(|(longest, missing)| format!("at most {}, {missing} missing", milliseconds(longest)));
    row(&["/healthz".into(), quiet, floods, "–".into()]);
    row(&[
        "log".into(),
        "–".into(),
        format!("{:.1} KB/s", measured.log_rate / 1000.0),
        "–".into(),
    ]);
}

/// A sentence that must be true, and what was measured.
struct Promise {
    holds: bool,
    what: String,
    /// Depends on how fast the machine is, or on what runs beside it.
    timed: bool,
}

/// Prints what must hold and what did. False if anything did not.
pub fn verdict(plan: &Plan, measured: &Measured, judge_times: bool) -> bool {
    let promises = promises(plan, measured);
    head("Verdict", &["", "what", "judged"]);
    let mut all = true;
    for promise in &promises {
        let judged = judge_times || !promise.timed;
        all &= promise.holds || !judged;
        row(&[
            if promise.holds { "kept" } else { "**broken**" }.to_owned(),
            promise.what.clone(),
            if judged { "yes" } else { "no" }.to_owned(),
        ]);
    }
    if !all {
        let balance = &measured.balance;
        for line in balance.lost.iter().chain(&measured.devices.wrong_rooms) {
            println!("- {line}");
        }
        for (why, count) in balance.refused.iter().chain(&balance.disconnects) {
            println!("- {count} × {why}");
        }
        println!("\nThe newest lines of the log:\n");
        for line in &measured.newest_log {
            println!("    {line}");
        }
    }
    println!(
        "\n{}",
        if all {
            "All of it was kept."
        } else {
            "Not all of it was kept."
        }
    );
    all
}

#[allow(clippy::cast_precision_loss)]
fn promises(plan: &Plan, measured: &Measured) -> Vec<Promise> {
    let Measured {
        balance,
        before,
        after,
        devices,
        ..
    } = measured;
    let refused: u64 = balance.refused.values().sum();
    let disconnects: u64 = balance.disconnects.values().sum();
    let p99 = |phase| balance.took(phase, None).percentile(99.0);
    let (quiet, floods) = (p99(Phase::Undisturbed), p99(Phase::Floods));
    let memory_limit = before.memory as f64 * MEMORY_FACTOR + MEMORY_MORE;
    let silent: Vec<&str> = measured
        .reports
        .iter()
        .filter(|report| report.counts.is_empty())
        .map(|report| report.kind.name)
        .collect();
    let fact = |holds, what| Promise {
        holds,
        what,
        timed: false,
    };
    let timed = |holds, what| Promise {
        holds,
        what,
        timed: true,
    };
    vec![
        fact(measured.runs, "the gateway runs".into()),
        fact(
            balance.lost_count == 0,
            format!(
                "nothing lost: {} commands, {} without a result",
                balance.sent, balance.lost_count
            ),
        ),
        fact(
            balance.doubled == 0,
            format!("nothing doubled: {} results too many", balance.doubled),
        ),
        fact(
            refused == 0 && balance.ok + balance.lost_count as u64 == balance.sent,
            format!("every command carried out: {refused} were not"),
        ),
        fact(
            devices.wrong_rooms.is_empty(),
            format!(
                "the devices agree: {} tones, {} rooms differ",
                devices.tones,
                devices.wrong_rooms.len()
            ),
        ),
        fact(
            devices.forbidden == 0,
            format!("no forbidden command carried out: {}", devices.forbidden),
        ),
        fact(
            disconnects == 0,
            format!("no honest client disconnected: {disconnects} times"),
        ),
        timed(
            floods <= quiet * SLOWER_AT_MOST,
            format!(
                "p99 within {SLOWER_AT_MOST} ×: {floods:.1} ms, undisturbed {quiet:.1} ms, \
                 {:.2} ×",
                floods / quiet
            ),
        ),
        timed(
            after.memory as f64 <= memory_limit,
            format!(
                "memory is back: {}, it was {}, at most {:.0} MiB",
                after.mib(),
                before.mib(),
                memory_limit / 1024.0
            ),
        ),
        timed(
            after.files <= before.files + FILES_MORE + plan.rooms,
            format!(
                "open files are back: {}, they were {}",
                after.files, before.files
            ),
        ),
        timed(
            measured.health[1].1 == 0,
            format!(
                "/healthz always answers: {} times not",
                measured.health[1].1
            ),
        ),
        timed(
            silent.is_empty(),
            format!("every flood ran: silent were {silent:?}"),
        ),
    ]
}
