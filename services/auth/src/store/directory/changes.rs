//! The changes of the directory, as statements; `write_directory` keeps them.

use lightning_mesh::clock::Timestamp;
use lightning_store::{Batch, Expect, Params, params};

use crate::{
    domain::{
        groups::Group, organizations::Organization, roles::CustomRole,
        service_accounts::ServiceAccount,
    },
    store::list,
};

const INSERT_ORGANIZATION: &str = "INSERT INTO organizations
        (id, name, disabled, revision, create_time, update_time)
    VALUES ($1, $2, $3, $4, $5, $6)";

const UPDATE_ORGANIZATION: &str =
    "UPDATE organizations SET name = $2, disabled = $3, revision = $4, update_time = $5
    WHERE id = $1";

const END_SESSIONS_OF_ORGANIZATION: &str = "UPDATE sessions SET end_time = $2
    WHERE end_time IS NULL AND expire_time > $2
      AND user_id IN (SELECT id FROM users WHERE organization_id = $1)";

const ONLY_WITHOUT_USERS: &str = "UPDATE access SET revision = revision WHERE id = 1
    AND NOT EXISTS (SELECT 1 FROM users WHERE organization_id = $1)";

const DELETE_ORGANIZATION: &str = "DELETE FROM organizations WHERE id = $1";

const DELETE_ROLES_OF: &str = "DELETE FROM roles WHERE organization_id = $1";

const DELETE_MEMBERS_OF: &str = "DELETE FROM group_members
    WHERE group_id IN (SELECT id FROM member_groups WHERE organization_id = $1)";

const DELETE_GROUPS_OF: &str = "DELETE FROM member_groups WHERE organization_id = $1";

const INSERT_ROLE: &str = "INSERT INTO roles (id, organization_id, name, description, permissions,
        inherits, revision, create_time, update_time)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";

const UPDATE_ROLE: &str = "UPDATE roles SET description = $2, permissions = $3, inherits = $4,
        revision = $5, update_time = $6
    WHERE id = $1";

// Names of roles hold no character that LIKE or JSON would read as another.
const ONLY_UNUSED_BY_USERS: &str = "UPDATE access SET revision = revision WHERE id = 1
    AND NOT EXISTS (SELECT 1 FROM users WHERE organization_id = $1 AND roles LIKE $2)";

const DELETE_ROLE: &str = "DELETE FROM roles WHERE id = $1";

const INSERT_GROUP: &str = "INSERT INTO member_groups
        (id, organization_id, name, description, roles, revision, create_time, update_time)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";

const UPDATE_GROUP: &str = "UPDATE member_groups SET name = $2, description = $3, roles = $4,
        revision = $5, update_time = $6
    WHERE id = $1";

const DELETE_GROUP: &str = "DELETE FROM member_groups WHERE id = $1";

const DELETE_MEMBERS: &str = "DELETE FROM group_members WHERE group_id = $1 OR member = $2";

const ADD_MEMBER: &str = "INSERT INTO group_members (group_id, member) VALUES ($1, $2)
    ON CONFLICT (group_id, member) DO NOTHING";

const REMOVE_MEMBER: &str = "DELETE FROM group_members WHERE group_id = $1 AND member = $2";

const INSERT_ACCOUNT: &str = "INSERT INTO service_accounts (id, organization_id, name, description,
        agent_id, owner_id, roles, permissions, jwks, client_ids, disabled, revision, create_time,
        update_time)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";

const UPDATE_ACCOUNT: &str = "UPDATE service_accounts SET description = $2, owner_id = $3, roles = $4,
        permissions = $5, jwks = $6, client_ids = $7, disabled = $8, revision = $9, update_time = $10
    WHERE id = $1";

const DELETE_ACCOUNT: &str = "DELETE FROM service_accounts WHERE id = $1";

const LEAVE_GROUPS: &str = "DELETE FROM group_members WHERE member = $1";

const DELETE_KEYS_OF: &str = "DELETE FROM api_keys WHERE service_account_id = $1";

pub(crate) fn insert_organization(new: &Organization) -> Batch {
    let times = (new.created_at.as_micros(), new.updated_at.as_micros());
    let params = params![&new.id, &new.name, new.disabled, new.revision, times.0, times.1];
    Batch::new().then(INSERT_ORGANIZATION, params)
}

/// Ends all sessions if it is disabled.
pub(crate) fn update_organization(new: &Organization, now: Timestamp) -> Batch {
    let updated = new.updated_at.as_micros();
    let params = params![&new.id, &new.name, new.disabled, new.revision, updated];
    let batch = Batch::new().then_expect(UPDATE_ORGANIZATION, params, Expect::Rows(1));
    if !new.disabled {
        return batch;
    }
    batch.then(END_SESSIONS_OF_ORGANIZATION, params![&new.id, now.as_micros()])
}

/// Refused if there are users.
pub(crate) fn delete_organization(id: &str) -> Batch {
    Batch::new()
        .then_expect(ONLY_WITHOUT_USERS, params![id], Expect::Rows(1))
        .then(DELETE_MEMBERS_OF, params![id])
        .then(DELETE_GROUPS_OF, params![id])
        .then(DELETE_ROLES_OF, params![id])
        .then_expect(DELETE_ORGANIZATION, params![id], Expect::Rows(1))
}

pub(crate) fn insert_role(new: &CustomRole) -> Batch {
    let params = params![
        new.id.as_str(),
        &new.organization_id,
        &new.name,
        &new.description,
        list(&new.permissions),
        list(&new.inherits),
        new.revision,
        new.created_at.as_micros(),
        new.updated_at.as_micros(),
    ];
    Batch::new().then(INSERT_ROLE, params)
}

pub(crate) fn update_role(new: &CustomRole) -> Batch {
    let params = params![
        new.id.as_str(),
        &new.description,
        list(&new.permissions),
        list(&new.inherits),
        new.revision,
        new.updated_at.as_micros(),
    ];
    Batch::new().then_expect(UPDATE_ROLE, params, Expect::Rows(1))
}

/// Refused if a user has it.
pub(crate) fn delete_role(role: &CustomRole) -> Batch {
    let users = params![&role.organization_id, has_role(&role.name)];
    Batch::new().then_expect(ONLY_UNUSED_BY_USERS, users, Expect::Rows(1)).then_expect(
        DELETE_ROLE,
        params![role.id.as_str()],
        Expect::Rows(1),
    )
}

/// What the list of roles of those who have a role is like.
pub(in crate::store) fn has_role(name: &str) -> String {
    format!("%\"{name}\"%")
}

pub(crate) fn insert_group(new: &Group) -> Batch {
    let params = params![
        new.id.as_str(),
        &new.organization_id,
        &new.name,
        &new.description,
        list(&new.roles),
        new.revision,
        new.created_at.as_micros(),
        new.updated_at.as_micros(),
    ];
    Batch::new().then(INSERT_GROUP, params)
}

pub(crate) fn update_group(new: &Group) -> Batch {
    let params = params![
        new.id.as_str(),
        &new.name,
        &new.description,
        list(&new.roles),
        new.revision,
        new.updated_at.as_micros(),
    ];
    Batch::new().then_expect(UPDATE_GROUP, params, Expect::Rows(1))
}

pub(crate) fn delete_group(group: &Group) -> Batch {
    let id = group.id.as_str();
    Batch::new().then(DELETE_MEMBERS, params![id, group.member()]).then_expect(
        DELETE_GROUP,
        params![id],
        Expect::Rows(1),
    )
}

pub(crate) fn add_members(group: &Group, members: &[String]) -> Batch {
    members
        .iter()
        .fold(update_group(group), |batch, member| batch.then(ADD_MEMBER, member_of(group, member)))
}

pub(crate) fn remove_members(group: &Group, members: &[String]) -> Batch {
    members.iter().fold(update_group(group), |batch, member| {
        batch.then(REMOVE_MEMBER, member_of(group, member))
    })
}

fn member_of(group: &Group, member: &str) -> Params {
    params![group.id.as_str(), member]
}

pub(crate) fn insert_account(new: &ServiceAccount) -> Batch {
    let params = params![
        new.id.as_str(),
        &new.organization_id,
        &new.name,
        &new.description,
        new.agent_id.as_deref(),
        &new.owner_id,
        list(&new.roles),
        list(&new.permissions),
        &new.jwks,
        list(&new.client_ids),
        new.disabled,
        new.revision,
        new.created_at.as_micros(),
        new.updated_at.as_micros(),
    ];
    Batch::new().then(INSERT_ACCOUNT, params)
}

pub(crate) fn update_account(new: &ServiceAccount) -> Batch {
    let params = params![
        new.id.as_str(),
        &new.description,
        &new.owner_id,
        list(&new.roles),
        list(&new.permissions),
        &new.jwks,
        list(&new.client_ids),
        new.disabled,
        new.revision,
        new.updated_at.as_micros(),
    ];
    Batch::new().then_expect(UPDATE_ACCOUNT, params, Expect::Rows(1))
}

pub(crate) fn delete_account(account: &ServiceAccount) -> Batch {
    let id = account.id.as_str();
    Batch::new()
        .then(DELETE_KEYS_OF, params![id])
        .then(LEAVE_GROUPS, params![account.member()])
        .then_expect(DELETE_ACCOUNT, params![id], Expect::Rows(1))
}
