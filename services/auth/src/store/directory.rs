//! The directory: organisations, roles, groups, service accounts and who is stopped.
//!
//! It has a number of its own beside the revision of the access state, because sessions end far more
//! often than it changes. Every change is written on the condition that the number is still the one
//! under which it was checked, so the rules hold between instances too.

use lightning_mesh::clock::Timestamp;
use lightning_store::{Batch, Error as StoreError, Expect, Row, params};

use super::{Store, unlist};
use crate::{
    Error,
    domain::{
        GroupId, RoleId, ServiceAccountId,
        directory::{Directory, Parts},
        groups::Group,
        organizations::Organization,
        roles::CustomRole,
        service_accounts::ServiceAccount,
    },
};

pub(crate) mod changes;
pub(crate) mod stopped;

/// How many rows are read at once; there may be more of them than one answer holds.
const PAGE: i64 = 20_000;

pub(super) const TABLES: &str = "ALTER TABLE access ADD COLUMN directory BIGINT NOT NULL DEFAULT 1;
CREATE TABLE organizations (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    disabled BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    create_time BIGINT NOT NULL,
    update_time BIGINT NOT NULL
);
INSERT INTO organizations (id, name, disabled, revision, create_time, update_time)
    VALUES ('default', 'Default', 0, 1, 0, 0);
CREATE TABLE roles (
    id TEXT PRIMARY KEY,
    organization_id TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    permissions TEXT NOT NULL,
    inherits TEXT NOT NULL,
    revision BIGINT NOT NULL,
    create_time BIGINT NOT NULL,
    update_time BIGINT NOT NULL
);
CREATE UNIQUE INDEX roles_name ON roles (organization_id, name);
CREATE TABLE member_groups (
    id TEXT PRIMARY KEY,
    organization_id TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    roles TEXT NOT NULL,
    revision BIGINT NOT NULL,
    create_time BIGINT NOT NULL,
    update_time BIGINT NOT NULL
);
CREATE UNIQUE INDEX member_groups_name ON member_groups (organization_id, name);
CREATE TABLE group_members (
    group_id TEXT NOT NULL,
    member TEXT NOT NULL,
    PRIMARY KEY (group_id, member)
);
CREATE INDEX group_members_member ON group_members (member);
CREATE TABLE service_accounts (
    id TEXT PRIMARY KEY,
    organization_id TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    agent_id TEXT,
    owner_id TEXT NOT NULL,
    roles TEXT NOT NULL,
    permissions TEXT NOT NULL,
    jwks TEXT NOT NULL,
    client_ids TEXT NOT NULL,
    disabled BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    create_time BIGINT NOT NULL,
    update_time BIGINT NOT NULL
);
CREATE UNIQUE INDEX service_accounts_name ON service_accounts (organization_id, name);
CREATE UNIQUE INDEX service_accounts_agent ON service_accounts (agent_id);
CREATE TABLE stopped_subjects (
    subject TEXT PRIMARY KEY,
    organization_id TEXT NOT NULL,
    reason TEXT NOT NULL,
    stopped_by TEXT NOT NULL,
    create_time BIGINT NOT NULL
);
CREATE INDEX stopped_subjects_time ON stopped_subjects (organization_id, create_time);";

const ORGANIZATIONS: &str =
    "SELECT id, name, disabled, revision, create_time, update_time FROM organizations
    WHERE id > $1 ORDER BY id LIMIT $2";

const ROLES: &str =
    "SELECT id, organization_id, name, description, permissions, inherits, revision,
        create_time, update_time
    FROM roles WHERE id > $1 ORDER BY id LIMIT $2";

const GROUPS: &str = "SELECT id, organization_id, name, description, roles, revision, create_time,
        update_time
    FROM member_groups WHERE id > $1 ORDER BY id LIMIT $2";

const MEMBERS: &str = "SELECT group_id, member FROM group_members
    WHERE group_id > $1 OR (group_id = $1 AND member > $2)
    ORDER BY group_id, member LIMIT $3";

const ACCOUNTS: &str = "SELECT id, organization_id, name, description, agent_id, owner_id, roles,
        permissions, jwks, client_ids, disabled, revision, create_time, update_time
    FROM service_accounts WHERE id > $1 ORDER BY id LIMIT $2";

const NUMBER: &str = "SELECT directory FROM access WHERE id = 1";

const MOVE: &str = "UPDATE access SET revision = revision + 1, directory = directory + 1
    WHERE id = 1 AND directory = $1";

// For rows that name roles without being part of the directory: users. It moves nothing.
const UNMOVED: &str = "UPDATE access SET revision = revision + 1 WHERE id = 1 AND directory = $1";

/// What became of a change of the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrote {
    /// It is kept.
    Yes,
    /// The directory is another one by now: read it and check again.
    Moved,
    /// A condition of the change itself does not hold.
    Refused,
}

/// A batch that is only kept if the directory is still the one with this number.
pub(super) fn under(number: i64) -> Batch {
    Batch::new().then_expect(UNMOVED, params![number], Expect::Rows(1))
}

impl Store {
    /// Reads the directory.
    pub(crate) async fn directory(&self) -> Result<Directory, Error> {
        // The number first: a change in between makes the next reading different, and meanwhile nothing
        // can be written under this number.
        let row = self.0.query_opt(NUMBER, params![]).await?;
        let number = row.ok_or(Error::Row { what: "access state" })?.integer("directory")?;
        let mut parts = Parts::default();
        for row in self.all(ORGANIZATIONS).await? {
            parts.organizations.push(organization_of(&row)?);
        }
        for row in self.all(ROLES).await? {
            parts.roles.push(role_of(&row)?);
        }
        for row in self.all(GROUPS).await? {
            parts.groups.push(group_of(&row)?);
        }
        for row in self.all(ACCOUNTS).await? {
            parts.accounts.push(account_of(&row)?);
        }
        let mut after = (String::new(), String::new());
        loop {
            let rows = self.0.query(MEMBERS, params![&after.0, &after.1, PAGE]).await?;
            for row in &rows {
                parts.members.push((row.text("group_id")?, row.text("member")?));
            }
            match parts.members.last() {
                Some(last) if is_full(&rows) => after.clone_from(last),
                Some(_) | None => break,
            }
        }
        parts.stopped = self.stopped_subjects().await?;
        Ok(Directory::new(number, parts))
    }

    /// Every row of a table, page by page.
    async fn all(&self, sql: &'static str) -> Result<Vec<Row>, Error> {
        let mut all = Vec::new();
        let mut after = String::new();
        loop {
            let rows = self.0.query(sql, params![&after, PAGE]).await?;
            let is_full = is_full(&rows);
            all.extend(rows);
            match all.last() {
                Some(last) if is_full => after = last.text("id")?,
                Some(_) | None => return Ok(all),
            }
        }
    }

    /// Writes a change that was checked against the directory with this number.
    pub(crate) async fn write_directory(&self, number: i64, change: Batch) -> Result<Wrote, Error> {
        let batch = Batch::new().then_expect(MOVE, params![number], Expect::Rows(1)).append(change);
        match self.0.write(batch).await {
            Ok(_) => Ok(Wrote::Yes),
            Err(StoreError::Unexpected { statement: 0, .. }) => Ok(Wrote::Moved),
            Err(StoreError::Unexpected { .. }) => Ok(Wrote::Refused),
            Err(error) => Err(error.into()),
        }
    }
}

fn is_full(rows: &[Row]) -> bool {
    i64::try_from(rows.len()) == Ok(PAGE)
}

fn organization_of(row: &Row) -> Result<Organization, Error> {
    Ok(Organization {
        id: row.text("id")?,
        name: row.text("name")?,
        disabled: row.boolean("disabled")?,
        revision: row.integer("revision")?,
        created_at: Timestamp::from_micros(row.integer("create_time")?),
        updated_at: Timestamp::from_micros(row.integer("update_time")?),
    })
}

fn role_of(row: &Row) -> Result<CustomRole, Error> {
    Ok(CustomRole {
        id: RoleId::parse(&row.text("id")?).map_err(|_| Error::Row { what: "role" })?,
        organization_id: row.text("organization_id")?,
        name: row.text("name")?,
        description: row.text("description")?,
        permissions: unlist(&row.text("permissions")?, "role")?,
        inherits: unlist(&row.text("inherits")?, "role")?,
        revision: row.integer("revision")?,
        created_at: Timestamp::from_micros(row.integer("create_time")?),
        updated_at: Timestamp::from_micros(row.integer("update_time")?),
    })
}

fn group_of(row: &Row) -> Result<Group, Error> {
    Ok(Group {
        id: GroupId::parse(&row.text("id")?).map_err(|_| Error::Row { what: "group" })?,
        organization_id: row.text("organization_id")?,
        name: row.text("name")?,
        description: row.text("description")?,
        roles: unlist(&row.text("roles")?, "group")?,
        revision: row.integer("revision")?,
        created_at: Timestamp::from_micros(row.integer("create_time")?),
        updated_at: Timestamp::from_micros(row.integer("update_time")?),
    })
}

fn account_of(row: &Row) -> Result<ServiceAccount, Error> {
    let what = "service account";
    Ok(ServiceAccount {
        id: ServiceAccountId::parse(&row.text("id")?).map_err(|_| Error::Row { what })?,
        organization_id: row.text("organization_id")?,
        name: row.text("name")?,
        description: row.text("description")?,
        agent_id: row.opt_text("agent_id")?,
        owner_id: row.text("owner_id")?,
        roles: unlist(&row.text("roles")?, what)?,
        permissions: unlist(&row.text("permissions")?, what)?,
        jwks: row.text("jwks")?,
        client_ids: unlist(&row.text("client_ids")?, what)?,
        disabled: row.boolean("disabled")?,
        revision: row.integer("revision")?,
        created_at: Timestamp::from_micros(row.integer("create_time")?),
        updated_at: Timestamp::from_micros(row.integer("update_time")?),
    })
}
