//! The RPCs: decode, call, encode. One file per service of the contract.

mod callbacks;
mod connectors;
mod integrations;
mod webhooks;

pub(crate) use callbacks::CallbackApi;
pub(crate) use connectors::ConnectorApi;
pub(crate) use integrations::IntegrationApi;
pub(crate) use webhooks::WebhookApi;
