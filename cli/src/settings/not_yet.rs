//! What a config may hold and the firmware does not do yet: said before it is written, so that nobody waits for it.

use espbroker_config::model::{Config, Pin, PinFunction, Role};

/// One sentence for each thing that is stored and has no effect, or not the one that is hoped for.
pub(crate) fn not_yet(config: &Config) -> Vec<&'static str> {
    let mut sentences = Vec::new();
    let mut pins = config.profile.iter().flat_map(|profile| &profile.pins);
    let is_meter = |pin: &Pin| {
        use PinFunction::{MeterCf, MeterCf1, MeterRx, MeterSel};
        matches!(pin.function, MeterCf | MeterCf1 | MeterSel | MeterRx)
    };
    if config.role != Role::Broker && pins.any(is_meter) {
        sentences.push("the board has a power meter, but the firmware does not read it yet");
    }
    if config.role == Role::Plug && config.bridges.is_empty() {
        sentences.push("the role is plug, but no bridge leads to a broker: the plug is one for itself");
    }
    if config.bridges.iter().any(|bridge| bridge.tls) {
        sentences.push(
            "a bridge with tls = true is stored, but the firmware cannot encrypt yet and does not connect it",
        );
    }
    if config.cluster.is_some() {
        sentences.push("the cluster is stored, but the firmware does not join one yet");
    }
    sentences
}

#[cfg(test)]
mod tests {
    use espbroker_config::{
        model::{Bridge, Cluster, Profile},
        secret::Secret,
    };

    use super::*;

    #[test]
    fn everything_that_has_no_effect_is_named_and_an_ordinary_broker_gets_no_warning() {
        let mut config = Config::new("hall");
        assert!(not_yet(&config).is_empty());
        config.bridges.push(Bridge::new("cloud", "example.org"));
        assert!(not_yet(&config).is_empty());
        config.role = Role::Plug;
        assert!(not_yet(&config).is_empty());
        let bridges = std::mem::take(&mut config.bridges);
        assert_eq!(not_yet(&config).len(), 1);
        config.bridges = bridges;
        let meter = Pin { gpio: 3, function: PinFunction::MeterRx, inverted: false };
        config.profile = Some(Profile { pins: vec![meter], ..Profile::new("metering-plug") });
        config.bridges.push(Bridge { tls: true, ..Bridge::new("cloud", "example.org") });
        config.cluster = Some(Cluster::new("home", Secret::new([0; 32])));
        assert_eq!(not_yet(&config).len(), 3);
    }
}
