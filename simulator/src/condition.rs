//! What can be amiss in a room, or just so, without a fault of the connection: the log is full, a panel is lost.

use std::collections::BTreeSet;

/// Something about the room that tests and people can switch on and off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    /// The device sleeps.
    Asleep,
    /// The log is `full`.
    LogFull,
    /// No microphone is connected.
    NoMicrophones,
    /// No camera is connected.
    NoCameras,
    /// SIP server and gatekeeper are down.
    RegistrationsDown,
    /// The calendar server is offline.
    CalendarOffline,
    /// The touch panel is still paired, but not connected.
    PanelLost,
    /// The touch panel is not paired any more.
    PanelUnpaired,
    /// The network runs at 100 Mbit/s and half duplex.
    LanSlow,
    /// The time server is down.
    TimeServerDown,
    /// A change takes effect after a reboot, which also ends this.
    RebootNeeded,
    /// A switch to another provider takes its time and does not succeed.
    ProviderSwitchFails,
}

impl Condition {
    /// Each with the name that the control port takes.
    pub const ALL: [(&'static str, Self); 12] = [
        ("asleep", Self::Asleep),
        ("log_full", Self::LogFull),
        ("no_microphones", Self::NoMicrophones),
        ("no_cameras", Self::NoCameras),
        ("registrations_down", Self::RegistrationsDown),
        ("calendar_offline", Self::CalendarOffline),
        ("panel_lost", Self::PanelLost),
        ("panel_unpaired", Self::PanelUnpaired),
        ("lan_slow", Self::LanSlow),
        ("time_server_down", Self::TimeServerDown),
        ("reboot_needed", Self::RebootNeeded),
        ("provider_switch_fails", Self::ProviderSwitchFails),
    ];

    /// The condition of this name.
    pub fn named(name: &str) -> Option<Self> {
        let found = Self::ALL.into_iter().find(|(known, _)| *known == name);
        found.map(|(_, condition)| condition)
    }
}

/// The conditions that hold now.
#[derive(Debug, Default)]
pub struct Conditions(BTreeSet<Condition>);

impl Conditions {
    pub fn set(&mut self, condition: Condition, on: bool) {
        if on {
            self.0.insert(condition);
        } else {
            self.0.remove(&condition);
        }
    }

    pub fn has(&self, condition: Condition) -> bool {
        self.0.contains(&condition)
    }

    /// Their names.
    pub fn names(&self) -> Vec<&'static str> {
        let all = Condition::ALL.into_iter();
        let now = all.filter(|(_, condition)| self.has(*condition));
        now.map(|(name, _)| name).collect()
    }
}
