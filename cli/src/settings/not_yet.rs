//! What a config may hold and the firmware does not do yet: said before it is written, so that nobody waits for it.

use espbroker_config::model::{Config, Role};

/// One sentence for each thing that is stored and has no effect.
pub(crate) fn not_yet(config: &Config) -> Vec<&'static str> {
    let mut sentences = Vec::new();
    if config.role != Role::Broker {
        sentences.push("the role is stored, but the firmware is a broker only so far");
    }
    if !config.bridges.is_empty() {
        sentences.push("bridges are stored, but the firmware does not run them yet");
    }
    let users = config.broker.users.iter().map(|user| &user.permissions);
    if users.chain([&config.broker.anonymous_permissions]).any(|permissions| !permissions.is_empty()) {
        sentences.push("permissions are stored, but the firmware does not check them yet");
    }
    if config.cluster.is_some() {
        sentences.push("the cluster is stored, but the firmware does not join one yet");
    }
    sentences
}

#[cfg(test)]
mod tests {
    use espbroker_config::{
        model::{Access, Bridge, Cluster, Permission},
        secret::Secret,
    };

    use super::*;

    #[test]
    fn everything_that_has_no_effect_is_named_and_an_ordinary_broker_gets_no_warning() {
        let mut config = Config::new("hall");
        assert!(not_yet(&config).is_empty());
        config.role = Role::Plug;
        config.bridges.push(Bridge::new("cloud", "example.org"));
        config.cluster = Some(Cluster::new("home", Secret::new([0; 32])));
        config.broker.anonymous_permissions.push(Permission::new("public/#", Access::Read));
        assert_eq!(not_yet(&config).len(), 4);
    }
}
