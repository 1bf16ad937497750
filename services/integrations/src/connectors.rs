//! Connectors: one file per kind of external system, one seam for all of them.
//!
//! What a connector can do stands as data beside its code (`rest_api.json`): the schemas that are shown
//! are the schemas that are enforced. A connector sees open credentials only inside an [`Access`],
//! which lives as long as the call and has no `Debug`.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    Config, Error,
    domain::{Address, Violation},
    egress::Egress,
    schema::Schema,
};

mod database;
mod http;
mod rest_api;
mod salesforce;
mod slack;
#[cfg(test)]
mod tests;

/// A kind of external system.
pub(crate) trait Connector: Send + Sync {
    /// What the schemas cannot say: which fields belong together. Called after they have passed.
    fn check(
        &self,
        config: &Map<String, Value>,
        credentials: &Map<String, Value>,
    ) -> Vec<Violation>;

    /// Makes a harmless call; answers what the other side said.
    fn test<'a>(&'a self, access: &'a Access) -> BoxFuture<'a, Result<String, Error>>;

    /// Runs an action of the descriptor, with a payload that has passed its schema.
    fn execute<'a>(&'a self, work: Work<'a>) -> BoxFuture<'a, Result<Value, Error>>;

    /// Forgets what is kept in memory for an integration.
    fn forget(&self, _address: &Address) {}

    /// Whether an integration of this configuration reaches into the operator's own machine, which is
    /// for the operator's organisation alone.
    fn is_local(&self, _config: &Map<String, Value>) -> bool {
        false
    }
}

/// One integration, opened for one call. No `Debug`: it holds secrets.
pub(crate) struct Access {
    pub(crate) address: Address,
    pub(crate) revision: i64,
    pub(crate) config: Map<String, Value>,
    pub(crate) credentials: Map<String, Value>,
}

/// One action to run.
pub(crate) struct Work<'a> {
    pub(crate) access: &'a Access,
    pub(crate) action: &'a str,
    pub(crate) payload: Value,
    /// Stays the same when the same effect is asked for again; may be empty.
    pub(crate) idempotency_key: &'a str,
}

/// What a connector is and can do, as its data file says.
pub(crate) struct Descriptor {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) config: Schema,
    pub(crate) credentials: Schema,
    pub(crate) actions: Vec<Action>,
}

/// Something a connector can do.
pub(crate) struct Action {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) input: Schema,
    pub(crate) output: Schema,
}

/// A connector with its descriptor.
pub(crate) struct Registered {
    pub(crate) descriptor: Descriptor,
    pub(crate) connector: Box<dyn Connector>,
}

/// All connectors, in the order of their ids.
pub(crate) struct Registry(Vec<Registered>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DescriptorFile {
    id: String,
    name: String,
    description: String,
    config_schema: Value,
    credentials_schema: Value,
    actions: Vec<ActionFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ActionFile {
    name: String,
    description: String,
    input_schema: Value,
    output_schema: Value,
}

// === impl Registry ===

impl Registry {
    /// Compiles every descriptor.
    pub(crate) fn open(
        config: &Config,
        data_dir: &std::path::Path,
        egress: &Arc<Egress>,
    ) -> Result<Self, Error> {
        let http = |what: &str| http::Http::new(egress.clone(), config.timeout, what);
        let database = database::Database::new(config, data_dir, egress.clone());
        Ok(Self(vec![
            register(include_str!("connectors/database.json"), Box::new(database))?,
            register(
                include_str!("connectors/rest_api.json"),
                Box::new(rest_api::RestApi::new(http("the API"))),
            )?,
            register(
                include_str!("connectors/salesforce.json"),
                Box::new(salesforce::Salesforce::new(http("Salesforce"))),
            )?,
            register(
                include_str!("connectors/slack.json"),
                Box::new(slack::Slack::new(http("Slack"))),
            )?,
        ]))
    }

    /// The connector of an id.
    pub(crate) fn get(&self, id: &str) -> Result<&Registered, Error> {
        self.0
            .iter()
            .find(|known| known.descriptor.id == id)
            .ok_or_else(|| Error::ConnectorNotFound { id: crate::domain::cut(id, 100) })
    }

    /// All of them.
    pub(crate) fn all(&self) -> &[Registered] {
        &self.0
    }

    /// The ids, for messages.
    pub(crate) fn ids(&self) -> String {
        let ids: Vec<&str> = self.0.iter().map(|known| known.descriptor.id.as_str()).collect();
        ids.join(", ")
    }
}

// === impl Registered ===

impl Registered {
    /// Everything that is wrong with a configuration and its credentials.
    pub(crate) fn check(
        &self,
        config: &Map<String, Value>,
        credentials: &Map<String, Value>,
    ) -> Vec<Violation> {
        let Descriptor { config: config_schema, credentials: credentials_schema, .. } =
            &self.descriptor;
        let mut found = config_schema.check("integration.config", &Value::Object(config.clone()));
        let secrets = Value::Object(credentials.clone());
        found.extend(credentials_schema.check("integration.credentials", &secrets));
        if found.is_empty() {
            found.extend(self.connector.check(config, credentials));
        }
        found
    }

    /// The action of a name.
    pub(crate) fn action(&self, name: &str) -> Result<&Action, Error> {
        self.descriptor.actions.iter().find(|action| action.name == name).ok_or_else(|| {
            let known: Vec<&str> =
                self.descriptor.actions.iter().map(|action| action.name.as_str()).collect();
            Error::ActionNotFound {
                connector: self.descriptor.id.clone(),
                action: crate::domain::cut(name, 100),
                known: known.join(", "),
            }
        })
    }
}

fn register(text: &str, connector: Box<dyn Connector>) -> Result<Registered, Error> {
    let broken = |why: String| Error::BuiltIn { what: "connector", why };
    let file: DescriptorFile =
        serde_json::from_str(text).map_err(|error| broken(error.to_string()))?;
    let compile = |schema| Schema::compile(schema).map_err(broken);
    let mut actions = Vec::new();
    for action in file.actions {
        actions.push(Action {
            name: action.name,
            description: action.description,
            input: compile(action.input_schema)?,
            output: compile(action.output_schema)?,
        });
    }
    let descriptor = Descriptor {
        id: file.id,
        name: file.name,
        description: file.description,
        config: compile(file.config_schema)?,
        credentials: compile(file.credentials_schema)?,
        actions,
    };
    Ok(Registered { descriptor, connector })
}

/// Reads an object that has passed its schema; a difference between schema and type is a defect.
fn typed<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, Error> {
    serde_json::from_value(value).map_err(|_| Error::BuiltIn {
        what: "schema",
        why: "it lets through what cannot be read".to_owned(),
    })
}

/// A duration such as `"30s"` of a configuration.
fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let parsed = match unit {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number.checked_mul(60)?),
        _ => return None,
    };
    (Duration::from_millis(1)..=crate::egress::MAX_TIMEOUT).contains(&parsed).then_some(parsed)
}

/// A text of a configuration or of credentials.
fn text<'a>(map: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    map.get(key).and_then(Value::as_str)
}
