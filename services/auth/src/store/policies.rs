//! Policies and their versions.

use std::sync::Arc;

use lightning_mesh::clock::Timestamp;
use lightning_store::{Batch, Error as StoreError, Expect, Row, params};
use serde::{Deserialize, Serialize};

use super::{Slice, Store, bounds, decisive};
use crate::{
    Error,
    domain::policies::{
        KEPT_VERSIONS, MAX_POLICIES, MAX_TOTAL, Policy, PolicyId, PolicySet, Published, Version,
        joined,
    },
    error::PolicyError,
};

/// The tables.
pub(super) const TABLES: &str = "CREATE TABLE policies (
    id TEXT PRIMARY KEY,
    organization_id TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    text TEXT NOT NULL,
    size BIGINT NOT NULL,
    disabled BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    create_time BIGINT NOT NULL,
    update_time BIGINT NOT NULL
);
CREATE INDEX policies_organization ON policies (organization_id, create_time, id);
CREATE TABLE policy_versions (
    organization_id TEXT NOT NULL,
    version BIGINT NOT NULL,
    publisher TEXT NOT NULL,
    note TEXT NOT NULL,
    policies TEXT NOT NULL,
    policy_count BIGINT NOT NULL,
    text TEXT NOT NULL,
    rolled_back_to BIGINT,
    create_time BIGINT NOT NULL,
    PRIMARY KEY (organization_id, version)
);";

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, organization_id, name, description, text, disabled, revision, create_time, \
             update_time FROM policies ",
            $rest
        )
    };
}

macro_rules! version {
    ($rest:literal) => {
        concat!(
            "SELECT organization_id, version, publisher, note, policy_count, rolled_back_to, create_time",
            $rest
        )
    };
}

const GET: &str = select!("WHERE id = $1 AND organization_id = $2");

const DRAFT: &str = select!("WHERE organization_id = $1 ORDER BY create_time, id");

const NEWEST: &str = select!(
    "WHERE (create_time < $1 OR (create_time = $1 AND id < $2)) AND organization_id = $3
      AND (CAST($4 AS TEXT) IS NULL OR name = $4)
     ORDER BY create_time DESC, id DESC LIMIT $5"
);

const OLDEST: &str = select!(
    "WHERE (create_time > $1 OR (create_time = $1 AND id > $2)) AND organization_id = $3
      AND (CAST($4 AS TEXT) IS NULL OR name = $4)
     ORDER BY create_time, id LIMIT $5"
);

// Changes to drafts wait for each other here, so that the limits hold over all of them.
const LOCK: &str = "UPDATE access SET revision = revision WHERE id = 1";

const INSERT: &str = "INSERT INTO policies (id, organization_id, name, description, text, size,
        disabled, revision, create_time, update_time)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";

const UPDATE: &str = "UPDATE policies SET name = $3, description = $4, text = $5, size = $6,
        disabled = $7, revision = $8, update_time = $9
    WHERE id = $1 AND organization_id = $2 AND revision = $8 - 1";

const ONLY_WITHIN_LIMITS: &str = "UPDATE access SET revision = revision WHERE id = 1
    AND (SELECT COUNT(*) FROM policies WHERE organization_id = $1) <= $2
    AND (SELECT COALESCE(SUM(size), 0) FROM policies WHERE organization_id = $1) <= $3";

const DELETE: &str = "DELETE FROM policies WHERE id = $1 AND organization_id = $2
    AND (CAST($3 AS BIGINT) IS NULL OR revision = $3)";

const ONLY_AFTER: &str = "UPDATE access SET revision = revision WHERE id = 1
    AND (SELECT COALESCE(MAX(version), 0) FROM policy_versions WHERE organization_id = $1) = $2";

const PUBLISH: &str = "INSERT INTO policy_versions (organization_id, version, publisher, note,
        policies, policy_count, text, rolled_back_to, create_time)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";

const FORGET_VERSIONS: &str =
    "DELETE FROM policy_versions WHERE organization_id = $1 AND version <= $2";

const VERSION: &str =
    version!(", policies FROM policy_versions WHERE organization_id = $1 AND version = $2");

const VERSIONS: &str = version!(
    " FROM policy_versions WHERE organization_id = $1 AND version < $2 ORDER BY version DESC LIMIT $3"
);

const PRESENT: &str = "SELECT organization_id, MAX(version) AS version FROM policy_versions
    GROUP BY organization_id ORDER BY organization_id";

const TEXT: &str = "SELECT text FROM policy_versions WHERE organization_id = $1 AND version = $2";

/// A published policy as it lies in the database.
#[derive(Serialize, Deserialize)]
struct Kept {
    id: String,
    name: String,
    description: String,
    text: String,
}

impl Store {
    pub(crate) async fn policy(
        &self,
        organization: &str,
        id: &PolicyId,
    ) -> Result<Option<Policy>, Error> {
        let row = self.0.query_opt(GET, params![id.as_str(), organization]).await?;
        row.as_ref().map(policy_of).transpose()
    }

    /// All policies of the draft, the oldest first.
    pub(crate) async fn draft(&self, organization: &str) -> Result<Vec<Policy>, Error> {
        let rows = self.0.query(DRAFT, params![organization]).await?;
        rows.iter().map(policy_of).collect()
    }

    pub(crate) async fn policies_in(
        &self,
        organization: &str,
        slice: &Slice,
        name: Option<&str>,
    ) -> Result<Vec<Policy>, Error> {
        let (time, id) = bounds(slice);
        let sql = if slice.newest_first { NEWEST } else { OLDEST };
        let rows = self.0.query(sql, params![time, id, organization, name, slice.limit]).await?;
        rows.iter().map(policy_of).collect()
    }

    pub(crate) async fn insert_policy(&self, policy: &Policy) -> Result<(), Error> {
        let organization = policy.organization_id.as_str();
        let insert = params![
            policy.id.as_str(),
            organization,
            &policy.name,
            &policy.description,
            &policy.text,
            size(policy),
            policy.disabled,
            policy.revision,
            policy.created_at.as_micros(),
            policy.updated_at.as_micros(),
        ];
        let limits = params![organization, MAX_POLICIES, MAX_TOTAL];
        let batch = Batch::new().then(LOCK, params![]).then(INSERT, insert).then_expect(
            ONLY_WITHIN_LIMITS,
            limits,
            Expect::Rows(1),
        );
        match self.0.write(batch).await {
            Ok(_) => Ok(()),
            Err(StoreError::Unexpected { .. }) => Err(Error::Policy(PolicyError::TooManyPolicies)),
            Err(error) => Err(error.into()),
        }
    }

    /// Keeps a policy as changed. False if somebody else changed it meanwhile.
    pub(crate) async fn update_policy(&self, policy: &Policy) -> Result<bool, Error> {
        let organization = policy.organization_id.as_str();
        let update = params![
            policy.id.as_str(),
            organization,
            &policy.name,
            &policy.description,
            &policy.text,
            size(policy),
            policy.disabled,
            policy.revision,
            policy.updated_at.as_micros(),
        ];
        let limits = params![organization, MAX_POLICIES, MAX_TOTAL];
        let batch = Batch::new()
            .then(LOCK, params![])
            .then_expect(UPDATE, update, Expect::Rows(1))
            .then_expect(ONLY_WITHIN_LIMITS, limits, Expect::Rows(1));
        match self.0.write(batch).await {
            Ok(_) => Ok(true),
            Err(StoreError::Unexpected { statement: 1, .. }) => Ok(false),
            Err(StoreError::Unexpected { .. }) => Err(Error::Policy(PolicyError::TooManyPolicies)),
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes a policy, in this revision or in any. False if there is no such thing.
    pub(crate) async fn delete_policy(
        &self,
        organization: &str,
        id: &PolicyId,
        revision: Option<i64>,
    ) -> Result<bool, Error> {
        let done = self.0.execute(DELETE, params![id.as_str(), organization, revision]).await?;
        Ok(done.changed > 0)
    }

    /// Publishes a version, if the one before it is still the present one.
    pub(crate) async fn publish_policies(&self, version: &Version) -> Result<bool, Error> {
        let organization = version.organization_id.as_str();
        let publish = params![
            organization,
            version.version,
            &version.publisher,
            &version.note,
            kept(&version.policies),
            version.count,
            joined(&version.policies),
            version.rolled_back_to,
            version.created_at.as_micros(),
        ];
        let before = params![organization, version.version - 1];
        let batch = decisive()
            .then_expect(ONLY_AFTER, before, Expect::Rows(1))
            .then(PUBLISH, publish)
            .then(FORGET_VERSIONS, params![organization, version.version - KEPT_VERSIONS]);
        match self.0.write(batch).await {
            Ok(_) => Ok(true),
            Err(StoreError::Unexpected { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// A version with its policies.
    pub(crate) async fn policy_version(
        &self,
        organization: &str,
        version: i64,
    ) -> Result<Option<Version>, Error> {
        let row = self.0.query_opt(VERSION, params![organization, version]).await?;
        let Some(row) = row else { return Ok(None) };
        let mut version = version_of(&row)?;
        let kept: Vec<Kept> = serde_json::from_str(&row.text("policies")?)
            .map_err(|_| Error::Row { what: "policy version" })?;
        let published =
            |Kept { id, name, description, text }| Published { id, name, description, text };
        version.policies = kept.into_iter().map(published).collect();
        Ok(Some(version))
    }

    /// Versions before this one without their policies, the newest first.
    pub(crate) async fn policy_versions(
        &self,
        organization: &str,
        before: i64,
        limit: i64,
    ) -> Result<Vec<Version>, Error> {
        let rows = self.0.query(VERSIONS, params![organization, before, limit]).await?;
        rows.iter().map(version_of).collect()
    }

    /// What is published now, everywhere. Reads only the texts that are not known yet.
    pub(super) async fn policy_sets(
        &self,
        known: &[Arc<PolicySet>],
    ) -> Result<Vec<Arc<PolicySet>>, Error> {
        let mut sets = Vec::new();
        for row in self.0.query(PRESENT, params![]).await? {
            let (organization, version) = (row.text("organization_id")?, row.integer("version")?);
            let same = |set: &&Arc<PolicySet>| {
                set.version == version && set.organization_id == organization
            };
            if let Some(set) = known.iter().find(same) {
                sets.push(set.clone());
                continue;
            }
            let row = self.0.query_opt(TEXT, params![organization.as_str(), version]).await?;
            let text = row.ok_or(Error::Row { what: "policy version" })?.text("text")?;
            sets.push(Arc::new(PolicySet::new(organization, version, text)));
        }
        Ok(sets)
    }
}

fn size(policy: &Policy) -> i64 {
    i64::try_from(policy.text.len()).unwrap_or(i64::MAX)
}

fn kept(policies: &[Published]) -> String {
    let kept = |policy: &Published| Kept {
        id: policy.id.clone(),
        name: policy.name.clone(),
        description: policy.description.clone(),
        text: policy.text.clone(),
    };
    let kept: Vec<Kept> = policies.iter().map(kept).collect();
    serde_json::to_string(&kept).expect("strings always serialize")
}

fn policy_of(row: &Row) -> Result<Policy, Error> {
    let broken = |_| Error::Row { what: "policy" };
    Ok(Policy {
        id: PolicyId::parse(&row.text("id")?).map_err(broken)?,
        organization_id: row.text("organization_id")?,
        name: row.text("name")?,
        description: row.text("description")?,
        text: row.text("text")?,
        disabled: row.boolean("disabled")?,
        revision: row.integer("revision")?,
        created_at: Timestamp::from_micros(row.integer("create_time")?),
        updated_at: Timestamp::from_micros(row.integer("update_time")?),
    })
}

fn version_of(row: &Row) -> Result<Version, Error> {
    Ok(Version {
        organization_id: row.text("organization_id")?,
        version: row.integer("version")?,
        publisher: row.text("publisher")?,
        note: row.text("note")?,
        created_at: Timestamp::from_micros(row.integer("create_time")?),
        count: row.integer("policy_count")?,
        policies: Vec::new(),
        rolled_back_to: row.opt_integer("rolled_back_to")?,
    })
}
