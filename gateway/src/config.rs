//! The `[gateway]` section.

use serde::Deserialize;

/// What the gateway can be told: nothing yet beside its `listen` address. Where the other services
/// are is said in `[mesh] peers`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}
