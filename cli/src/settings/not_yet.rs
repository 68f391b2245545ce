//! What a config may hold and the firmware does not do yet: said before it is written, so that nobody waits for it.

use espbroker_config::model::{Config, Role};

/// One sentence for each thing that is stored and has no effect.
pub(crate) fn not_yet(config: &Config) -> Vec<&'static str> {
    let mut sentences = Vec::new();
    if config.role != Role::Broker {
        sentences.push("the role is stored, but the firmware is a broker only so far");
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
        model::{Bridge, Cluster},
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
        config.bridges.push(Bridge { tls: true, ..Bridge::new("cloud", "example.org") });
        config.cluster = Some(Cluster::new("home", Secret::new([0; 32])));
        assert_eq!(not_yet(&config).len(), 3);
    }
}
