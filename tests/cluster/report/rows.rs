//! The rows of the table: what must be reached, and of which samples that is said.

use Limit::{Least, Most, MostTime, None as Info};
use Summary::{Largest, Median, Percentile99, Smallest, Sum};

/// How many samples become one figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Summary {
    Largest,
    Smallest,
    Median,
    /// Of a hundred samples, 99 are at most as large.
    Percentile99,
    Sum,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    /// Holds in every build.
    Most(f64),
    Least(f64),
    /// A time, or a cost, of a build with optimization; three times as much is allowed in others.
    MostTime(f64),
    /// Only for information.
    None,
}

pub struct Row {
    pub what: &'static str,
    /// The samples' name.
    pub figure: &'static str,
    pub summary: Summary,
    pub limit: Limit,
    pub unit: &'static str,
}

const fn row(
    what: &'static str,
    figure: &'static str,
    summary: Summary,
    limit: Limit,
    unit: &'static str,
) -> Row {
    Row {
        what,
        figure,
        summary,
        limit,
        unit,
    }
}

/// The table of the promises. The names on the right are those of the samples.
pub const ROWS: &[Row] = &[
    row("forced changes of every kind", "acts", Sum, Info, ""),
    row(
        "devices that changed hands, after a failure",
        "unclean handovers",
        Sum,
        Info,
        "",
    ),
    row(
        "devices that changed hands, in order",
        "clean handovers",
        Sum,
        Info,
        "",
    ),
    row(
        "overlaps of two gateways at one device",
        "overlaps",
        Sum,
        Most(0.0),
        "",
    ),
    row(
        "smallest gap after a failure",
        "gap",
        Smallest,
        Least(300.0),
        "ms",
    ),
    row(
        "smallest gap of a handover in order",
        "clean gap",
        Smallest,
        Info,
        "ms",
    ),
    row(
        "handovers in order with a request still under way",
        "under way",
        Sum,
        Info,
        "",
    ),
    row(
        "held back by a path and delivered later, not judged",
        "late by path",
        Sum,
        Info,
        "",
    ),
    row(
        "kill -9: every shard owned again",
        "kill owned",
        Largest,
        MostTime(3500.0),
        "ms",
    ),
    row(
        "kill -9: a command to its rooms answered, p99",
        "kill answered",
        Percentile99,
        MostTime(5000.0),
        "ms",
    ),
    row(
        "kill -9: the slowest of these answers",
        "kill answered",
        Largest,
        Info,
        "ms",
    ),
    row(
        "kill -9: its rooms online again",
        "kill online",
        Largest,
        MostTime(20_000.0),
        "ms",
    ),
    row(
        "kill -9 with etcd's leader: every shard owned again",
        "kill leader owned",
        Largest,
        MostTime(7000.0),
        "ms",
    ),
    row(
        "etcd's leader killed: rooms that changed hands",
        "leader moved",
        Sum,
        Most(0.0),
        "",
    ),
    row(
        "etcd's leader killed: longest pause",
        "leader pause",
        Largest,
        MostTime(1500.0),
        "ms",
    ),
    row(
        "etcd gone: last request after",
        "gone last request",
        Largest,
        MostTime(2000.0),
        "ms",
    ),
    row(
        "etcd back: every gateway drives again",
        "back driving",
        Largest,
        MostTime(5000.0),
        "ms",
    ),
    row(
        "leave: a room without owner, p99",
        "leave unowned",
        Percentile99,
        MostTime(1000.0),
        "ms",
    ),
    row(
        "leave: a command answered, p99",
        "leave answered",
        Percentile99,
        MostTime(2500.0),
        "ms",
    ),
    row(
        "leave: commands not ok",
        "leave refused",
        Sum,
        Most(0.0),
        "",
    ),
    row(
        "leave: part of the rooms that moved beside the leaver's",
        "leave moved",
        Largest,
        Most(0.0),
        "",
    ),
    row(
        "join: a room without owner, p99",
        "join unowned",
        Percentile99,
        MostTime(1000.0),
        "ms",
    ),
    row(
        "join: a command answered, p99",
        "join answered",
        Percentile99,
        MostTime(2500.0),
        "ms",
    ),
    row("join: commands not ok", "join refused", Sum, Most(0.0), ""),
    row(
        "join: rooms moved, as part of the ideal",
        "join moved",
        Largest,
        Most(1.15),
        "",
    ),
    row("busiest gateway to mean", "imbalance", Largest, Info, ""),
    row(
        "sessions of a device after the kills",
        "sessions",
        Largest,
        Most(2.0),
        "",
    ),
    row(
        "kills before the sessions were counted",
        "kills",
        Sum,
        Info,
        "",
    ),
    row(
        "requests to etcd of a gateway",
        "etcd requests",
        Largest,
        MostTime(8.0),
        "/s",
    ),
    row(
        "a gateway's processor, cluster less alone",
        "processor",
        Largest,
        MostTime(1.0),
        "% of a core",
    ),
    row(
        "a gateway's memory, cluster less alone",
        "memory",
        Largest,
        MostTime(4.0),
        "MB",
    ),
    row("a command alone, p50", "alone latency", Median, Info, "ms"),
    row(
        "a command at the owner, p50",
        "owner latency",
        Median,
        Info,
        "ms",
    ),
    row(
        "a command at another gateway, p50",
        "other latency",
        Median,
        Info,
        "ms",
    ),
    row(
        "at the owner to alone",
        "owner ratio",
        Largest,
        MostTime(1.05),
        "",
    ),
    row(
        "at another gateway, more than at the owner",
        "other more",
        Largest,
        MostTime(1.0),
        "ms",
    ),
    row("commands", "commands", Sum, Info, ""),
    row(
        "commands with no, two or a wrong result, or carried out twice",
        "command faults",
        Sum,
        Most(0.0),
        "",
    ),
    row(
        "commands without a result that did not arrive: nobody was there, or the connection broke",
        "not arrived",
        Sum,
        Info,
        "",
    ),
    row(
        "commands whose silence is excused",
        "excused",
        Sum,
        Info,
        "",
    ),
    row(
        "repeatable commands that were carried out twice",
        "repeats",
        Sum,
        Info,
        "",
    ),
    row("requests at the devices", "requests", Sum, Info, ""),
];
