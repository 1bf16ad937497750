//! The schema that policies are validated against, made from the contract.
//!
//! Every permission of the contract is an action; `agents.*` and `*.read` are groups of them, written
//! like the patterns of roles and scopes. It lies beside [`entities`](super::entities), which builds what
//! is described here: change both together. Services do not check requests against it, so that a
//! policy about a permission that an older service does not know is no reason to refuse.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    sync::{Arc, LazyLock},
};

use cedar_policy::{Schema, Validator};

use crate::contract;

/// Everything but the actions.
const TYPES: &str = r#"// Whoever calls. A role, a group and an organisation contain their members; a user contains the API
// keys that belong to them.
entity Organization;
entity Role;
entity Group;
entity User in [Role, Group, Organization] =
    { organization: String, roles: Set<String>, groups: Set<String> };
entity ServiceAccount in [Role, Group, Organization] =
    { organization: String, roles: Set<String>, groups: Set<String> };
entity Agent in [Role, Group, Organization] =
    { organization: String, roles: Set<String>, groups: Set<String> };
entity Client in [Role, Group, Organization] =
    { organization: String, roles: Set<String>, groups: Set<String> };
entity Service in [Role, Group, Organization] =
    { organization: String, roles: Set<String>, groups: Set<String> };
entity ApiKey in [User, Role, Group, Organization] =
    { organization: String, roles: Set<String>, groups: Set<String>, owner?: String };

// What is asked about: Resource::"agent/0190…". The gate asks before the resource is known, with empty
// kind and id; services ask again with the resource. Tags are its labels.
entity Resource in [Organization] =
    { kind: String, id: String, organization: String, owner?: String } tags String;

// The call. `granted` says whether roles and scopes hold the permission; `actors` are those who act for
// the principal, as agent:<id> and so on; `time` is in seconds since 1970.
type Call = {
    granted: Bool,
    method: String,
    actors: Set<String>,
    time: Long,
    via?: String,
    client_id?: String,
    acr?: String,
    address?: ipaddr,
};
"#;

static TEXT: LazyLock<String> = LazyLock::new(|| write(&contract::permissions()));

static VALIDATOR: LazyLock<Option<Arc<Validator>>> = LazyLock::new(|| {
    let parsed = Schema::from_cedarschema_str(&TEXT);
    match parsed {
        Ok((schema, _)) => Some(Arc::new(Validator::new(schema))),
        Err(error) => {
            tracing::error!(error = %error, "the schema of policies does not parse");
            None
        }
    }
});

/// The schema in Cedar's own syntax, for people and editors.
pub fn text() -> &'static str {
    &TEXT
}

/// The validator; none if the contract has permissions that make no schema.
pub(super) fn validator() -> Option<Arc<Validator>> {
    VALIDATOR.clone()
}

/// The groups that a permission belongs to: `agents.*` and `*.read` for `agents.read`.
pub(super) fn groups(permission: &str) -> Option<[String; 2]> {
    let (area, verb) = permission.split_once('.')?;
    Some([format!("{area}.*"), format!("*.{verb}")])
}

fn write(permissions: &BTreeSet<String>) -> String {
    let mut text = TYPES.to_owned();
    let all: BTreeSet<String> =
        permissions.iter().filter_map(|name| groups(name)).flatten().collect();
    text.push_str("\n// The permissions of the contract, and groups of them.\n");
    let mut line = |args: std::fmt::Arguments<'_>| {
        text.write_fmt(args).expect("writing to a string cannot fail");
    };
    for group in &all {
        line(format_args!("action {group:?};\n"));
    }
    for name in permissions {
        let Some([area, verb]) = groups(name) else { continue };
        line(format_args!(
            "action {name:?} in [{area:?}, {verb:?}] appliesTo {{\n    principal: [User, \
             ServiceAccount, Agent, Client, Service, ApiKey],\n    resource: [Resource],\n    context: \
             Call,\n}};\n"
        ));
    }
    text
}
