//! Organisations, roles, groups, service accounts and who is stopped, between the contract and the
//! domain.

use lightning_mesh::{clock::Timestamp, etag, fault::Fault, mask::Mask};
use lightning_proto::auth::v1 as pb;

use crate::{
    domain::{
        groups, organizations, permissions::Role, roles, service_accounts,
        service_accounts::ServiceAccount,
    },
    logic::{
        groups::Counted,
        roles::{Rights, Shown},
    },
    store::Stopped,
};

/// What nobody sets, of any of these.
const OUTPUT_ONLY: [&str; 10] = [
    "id",
    "create_time",
    "update_time",
    "etag",
    "built_in",
    "effective_permissions",
    "member_count",
    "subject",
    "name",
    "agent_id",
];

/// A change that was asked for, of the thing with this id or name.
pub(crate) struct Update<C> {
    pub(crate) id: String,
    pub(crate) etag: String,
    pub(crate) change: C,
}

/// Whether a change takes a field: it stands in the mask, or there is none and it has a value.
fn taken(mask: &Mask, field: &str, is_present: bool) -> bool {
    if mask.is_empty() { is_present } else { mask.has(field) }
}

pub(crate) fn organization_update(
    request: pb::UpdateOrganizationRequest,
) -> Result<Update<organizations::Change>, Fault> {
    let output_only = ["id", "create_time", "update_time", "etag"];
    let mask = Mask::parse(request.update_mask.as_ref(), &["name", "disabled"], &output_only)?;
    let new = request.organization.unwrap_or_default();
    let change = organizations::Change {
        name: taken(&mask, "name", !new.name.is_empty()).then_some(new.name),
        disabled: taken(&mask, "disabled", new.disabled).then_some(new.disabled),
    };
    Ok(Update { id: new.id, etag: new.etag, change })
}

pub(crate) fn organization(known: organizations::Organization) -> pb::Organization {
    pb::Organization {
        id: known.id,
        name: known.name,
        disabled: known.disabled,
        create_time: Some(known.created_at.to_proto()),
        update_time: Some(known.updated_at.to_proto()),
        etag: etag::of(known.revision),
    }
}

/// The name and the values of a role that is to be.
pub(crate) fn role_draft(request: pb::CreateRoleRequest) -> (String, roles::Change) {
    let new = request.role.unwrap_or_default();
    let values = roles::Change {
        description: Some(new.description),
        permissions: Some(new.permissions),
        inherits: Some(new.inherits),
    };
    (new.name, values)
}

pub(crate) fn role_update(request: pb::UpdateRoleRequest) -> Result<Update<roles::Change>, Fault> {
    let allowed = ["description", "permissions", "inherits"];
    let mask = Mask::parse(request.update_mask.as_ref(), &allowed, &OUTPUT_ONLY)?;
    let new = request.role.unwrap_or_default();
    let change = roles::Change {
        description: taken(&mask, "description", !new.description.is_empty())
            .then_some(new.description),
        permissions: taken(&mask, "permissions", !new.permissions.is_empty())
            .then_some(new.permissions),
        inherits: taken(&mask, "inherits", !new.inherits.is_empty()).then_some(new.inherits),
    };
    Ok(Update { id: new.name, etag: new.etag, change })
}

pub(crate) fn role(shown: Shown) -> pb::Role {
    let effective_permissions = shown.effective;
    let Some(role) = shown.custom else {
        let permissions = effective_permissions.clone();
        let description = Role::parse(&shown.name).map(about).unwrap_or_default().to_owned();
        let (id, name) = (shown.name.clone(), shown.name);
        return pb::Role {
            id,
            name,
            description,
            permissions,
            built_in: true,
            effective_permissions,
            ..pb::Role::default()
        };
    };
    pb::Role {
        id: role.id.into(),
        name: role.name,
        description: role.description,
        permissions: role.permissions,
        inherits: role.inherits,
        built_in: false,
        effective_permissions,
        create_time: Some(role.created_at.to_proto()),
        update_time: Some(role.updated_at.to_proto()),
        etag: etag::of(role.revision),
    }
}

fn about(role: Role) -> &'static str {
    match role {
        Role::Admin => "May do everything in its organisation.",
        Role::Developer => "Everything except who may do what and how the mesh is run.",
        Role::Analyst => "Reads, invokes, executes and infers.",
        Role::Viewer => "Reads.",
    }
}

pub(crate) fn rights(rights: Rights) -> pb::ListUserPermissionsResponse {
    let shown = |(permission, sources)| pb::EffectivePermission { permission, sources };
    pb::ListUserPermissionsResponse {
        permissions: rights.permissions.into_iter().map(shown).collect(),
        roles: rights.roles,
        groups: rights.groups,
        next_page_token: String::new(),
    }
}

pub(crate) fn group_draft(request: pb::CreateGroupRequest) -> groups::Change {
    let new = request.group.unwrap_or_default();
    groups::Change {
        name: Some(new.name),
        description: Some(new.description),
        roles: Some(new.roles),
    }
}

pub(crate) fn group_update(
    request: pb::UpdateGroupRequest,
) -> Result<Update<groups::Change>, Fault> {
    let allowed = ["name", "description", "roles"];
    let mask = Mask::parse(request.update_mask.as_ref(), &allowed, &OUTPUT_ONLY)?;
    let new = request.group.unwrap_or_default();
    let change = groups::Change {
        name: taken(&mask, "name", !new.name.is_empty()).then_some(new.name),
        description: taken(&mask, "description", !new.description.is_empty())
            .then_some(new.description),
        roles: taken(&mask, "roles", !new.roles.is_empty()).then_some(new.roles),
    };
    Ok(Update { id: new.id, etag: new.etag, change })
}

pub(crate) fn group((group, count): Counted) -> pb::Group {
    pb::Group {
        id: group.id.into(),
        name: group.name,
        description: group.description,
        roles: group.roles,
        member_count: i32::try_from(count).unwrap_or(i32::MAX),
        create_time: Some(group.created_at.to_proto()),
        update_time: Some(group.updated_at.to_proto()),
        etag: etag::of(group.revision),
    }
}

/// The name, the agent and the values of a service account that is to be.
pub(crate) fn account_draft(
    request: pb::CreateServiceAccountRequest,
) -> (String, Option<String>, service_accounts::Change) {
    let new = request.service_account.unwrap_or_default();
    let values = service_accounts::Change {
        description: Some(new.description),
        owner_id: Some(new.owner_id),
        roles: Some(new.roles),
        permissions: Some(new.permissions),
        jwks: Some(new.jwks),
        client_ids: Some(new.client_ids),
        disabled: Some(new.disabled),
    };
    (new.name, Some(new.agent_id).filter(|agent| !agent.is_empty()), values)
}

pub(crate) fn account_update(
    request: pb::UpdateServiceAccountRequest,
) -> Result<Update<service_accounts::Change>, Fault> {
    let allowed =
        ["description", "owner_id", "roles", "permissions", "jwks", "client_ids", "disabled"];
    let mask = Mask::parse(request.update_mask.as_ref(), &allowed, &OUTPUT_ONLY)?;
    let new = request.service_account.unwrap_or_default();
    let has = |field: &str, is_present: bool| taken(&mask, field, is_present);
    let change = service_accounts::Change {
        description: has("description", !new.description.is_empty()).then_some(new.description),
        owner_id: has("owner_id", !new.owner_id.is_empty()).then_some(new.owner_id),
        roles: has("roles", !new.roles.is_empty()).then_some(new.roles),
        permissions: has("permissions", !new.permissions.is_empty()).then_some(new.permissions),
        jwks: has("jwks", !new.jwks.is_empty()).then_some(new.jwks),
        client_ids: has("client_ids", !new.client_ids.is_empty()).then_some(new.client_ids),
        disabled: has("disabled", new.disabled).then_some(new.disabled),
    };
    Ok(Update { id: new.id, etag: new.etag, change })
}

pub(crate) fn account(account: ServiceAccount) -> pb::ServiceAccount {
    pb::ServiceAccount {
        subject: account.subject().full(),
        id: account.id.into(),
        name: account.name,
        description: account.description,
        agent_id: account.agent_id.unwrap_or_default(),
        owner_id: account.owner_id,
        roles: account.roles,
        permissions: account.permissions,
        jwks: account.jwks,
        client_ids: account.client_ids,
        disabled: account.disabled,
        create_time: Some(account.created_at.to_proto()),
        update_time: Some(account.updated_at.to_proto()),
        etag: etag::of(account.revision),
    }
}

pub(crate) fn stopped(stopped: Stopped) -> pb::StoppedPrincipal {
    pb::StoppedPrincipal {
        subject: stopped.subject,
        reason: stopped.reason,
        stopped_by: stopped.by,
        stop_time: Some(Timestamp::to_proto(stopped.at)),
    }
}
