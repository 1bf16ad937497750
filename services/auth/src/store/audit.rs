//! The audit trail: events in a chain, the place where it ends, and the place before it begins.

use lightning_mesh::clock::Timestamp;
use lightning_store::{Batch, Error as StoreError, Expect, Row, params};

use super::Store;
use crate::{
    Error,
    audit::{Link, Verdict, entry_of_content},
};

pub(super) const TABLES: &str = "CREATE TABLE audit_events (
    sequence BIGINT PRIMARY KEY,
    event_time BIGINT NOT NULL,
    organization_id TEXT NOT NULL,
    action TEXT NOT NULL,
    outcome TEXT NOT NULL,
    subject TEXT NOT NULL,
    resource_type TEXT NOT NULL,
    resource_id TEXT NOT NULL,
    content TEXT NOT NULL,
    previous_hash TEXT NOT NULL,
    hash TEXT NOT NULL
);
CREATE INDEX audit_events_organization ON audit_events (organization_id, sequence);
CREATE INDEX audit_events_time ON audit_events (event_time);
CREATE TABLE audit_chain (
    id BIGINT PRIMARY KEY,
    sequence BIGINT NOT NULL,
    hash TEXT NOT NULL,
    anchor_sequence BIGINT NOT NULL,
    anchor_hash TEXT NOT NULL
);
INSERT INTO audit_chain (id, sequence, hash, anchor_sequence, anchor_hash) VALUES (1, 0, '', 0, '');";

/// Events that are looked at by one call at most.
const MAX_VERIFIED: i64 = 100_000;
/// Events that are read or deleted at once.
const PAGE: i64 = 1_000;

/// Where the chain ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) sequence: i64,
    pub(crate) hash: String,
}

/// Which events to read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query {
    pub(crate) organization_id: Option<String>,
    pub(crate) action: Option<String>,
    pub(crate) outcome: Option<String>,
    pub(crate) subject: Option<String>,
    pub(crate) resource_type: Option<String>,
    pub(crate) resource_id: Option<String>,
    /// From this time on.
    pub(crate) start: Option<Timestamp>,
    /// Before this time.
    pub(crate) end: Option<Timestamp>,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT sequence, event_time, organization_id, action, outcome, subject, resource_type,
                resource_id, content, previous_hash, hash
            FROM audit_events ",
            $rest
        )
    };
}

macro_rules! matching {
    ($rest:literal) => {
        concat!(
            "WHERE (CAST($1 AS TEXT) IS NULL OR organization_id = $1)
              AND (CAST($2 AS TEXT) IS NULL OR action = $2)
              AND (CAST($3 AS TEXT) IS NULL OR outcome = $3)
              AND (CAST($4 AS TEXT) IS NULL OR subject = $4)
              AND (CAST($5 AS TEXT) IS NULL OR resource_type = $5)
              AND (CAST($6 AS TEXT) IS NULL OR resource_id = $6)
              AND event_time >= $7 AND event_time < $8 ",
            $rest
        )
    };
}

const NEWEST: &str = concat!(
    "SELECT sequence, event_time, organization_id, action, outcome, subject, resource_type,
        resource_id, content, previous_hash, hash
    FROM audit_events ",
    matching!("AND sequence < $9 ORDER BY sequence DESC LIMIT $10")
);

const OLDEST: &str = concat!(
    "SELECT sequence, event_time, organization_id, action, outcome, subject, resource_type,
        resource_id, content, previous_hash, hash
    FROM audit_events ",
    matching!("AND sequence > $9 ORDER BY sequence LIMIT $10")
);

const FROM: &str = select!("WHERE sequence >= $1 ORDER BY sequence LIMIT $2");

const CHAIN: &str =
    "SELECT sequence, hash, anchor_sequence, anchor_hash FROM audit_chain WHERE id = 1";

const MOVE: &str = "UPDATE audit_chain SET sequence = $1, hash = $2
    WHERE id = 1 AND sequence = $3 AND hash = $4";

const APPEND: &str =
    "INSERT INTO audit_events (sequence, event_time, organization_id, action, outcome,
        subject, resource_type, resource_id, content, previous_hash, hash)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";

const OLD: &str = "SELECT sequence, event_time, hash FROM audit_events WHERE sequence > $1
    ORDER BY sequence LIMIT $2";

const ANCHOR: &str = "UPDATE audit_chain SET anchor_sequence = $1, anchor_hash = $2
    WHERE id = 1 AND anchor_sequence < $1";

const FORGET: &str = "DELETE FROM audit_events WHERE sequence <= $1";

impl Store {
    /// Where the chain ends.
    pub(crate) async fn head(&self) -> Result<Head, Error> {
        let row = self.chain().await?;
        Ok(Head { sequence: row.integer("sequence")?, hash: row.text("hash")? })
    }

    async fn chain(&self) -> Result<Row, Error> {
        let row = self.0.query_opt(CHAIN, params![]).await?;
        row.ok_or(Error::Row { what: "audit chain" })
    }

    /// Keeps links behind the end of the chain. False if the chain ends elsewhere by now.
    pub(crate) async fn append_events(&self, head: &Head, links: &[Link]) -> Result<bool, Error> {
        let Some(last) = links.last() else { return Ok(true) };
        let moved = params![last.sequence, &last.hash, head.sequence, &head.hash];
        let mut batch = Batch::new().then_expect(MOVE, moved, Expect::Rows(1));
        for link in links {
            let entry = &link.entry;
            let params = params![
                link.sequence,
                entry.time,
                &entry.organization_id,
                &entry.action,
                &entry.outcome,
                &entry.subject,
                &entry.resource_type,
                &entry.resource_id,
                &link.content,
                &link.previous_hash,
                &link.hash,
            ];
            batch = batch.then(APPEND, params);
        }
        match self.0.write(batch).await {
            Ok(_) => Ok(true),
            Err(StoreError::Unexpected { statement: 0, .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Events that match, the newest first and before a place, or the oldest first and behind it.
    pub(crate) async fn events(
        &self,
        query: &Query,
        newest_first: bool,
        place: Option<i64>,
        limit: i64,
    ) -> Result<Vec<Link>, Error> {
        let (sql, from) = if newest_first { (NEWEST, i64::MAX) } else { (OLDEST, 0) };
        let params = params![
            query.organization_id.as_deref(),
            query.action.as_deref(),
            query.outcome.as_deref(),
            query.subject.as_deref(),
            query.resource_type.as_deref(),
            query.resource_id.as_deref(),
            query.start.map_or(i64::MIN, Timestamp::as_micros),
            query.end.map_or(i64::MAX, Timestamp::as_micros),
            place.unwrap_or(from),
            limit,
        ];
        self.0.query(sql, params).await?.iter().map(link_of).collect()
    }

    /// Recomputes the chain from a place on, or from where it begins now.
    pub(crate) async fn verify_events(&self, start: i64) -> Result<Verdict, Error> {
        let chain = self.chain().await?;
        let (end, anchor) = (chain.integer("sequence")?, chain.integer("anchor_sequence")?);
        let mut verdict = Verdict { hash: chain.text("anchor_hash")?, ..Verdict::default() };
        let mut next = anchor + 1;
        if start > next {
            // What comes before the place is believed; another call looks at it.
            let before = self.0.query(FROM, params![start - 1, 1_i64]).await?;
            match before.first().map(link_of).transpose()? {
                Some(link) if link.sequence == start - 1 => verdict.hash = link.hash,
                Some(_) | None => {
                    verdict.broken = Some(start - 1);
                    return Ok(verdict);
                }
            }
            next = start;
        }
        while next <= end {
            if verdict.count >= MAX_VERIFIED {
                verdict.next = Some(next);
                return Ok(verdict);
            }
            let rows = self.0.query(FROM, params![next, PAGE]).await?;
            if rows.is_empty() {
                break;
            }
            for row in &rows {
                // A row that cannot even be read is as wrong as one with another hash.
                match link_of(row).ok().filter(|link| link.follows(next, &verdict.hash)) {
                    Some(link) => verdict.hash = link.hash,
                    None => {
                        verdict.broken = Some(next);
                        return Ok(verdict);
                    }
                }
                verdict.count += 1;
                next += 1;
            }
        }
        if next <= end {
            verdict.broken = Some(next);
        } else if next == end + 1 && verdict.hash != chain.text("hash")? {
            verdict.broken = Some(end);
        }
        Ok(verdict)
    }

    /// Deletes events from before a time, from the oldest on; the chain begins behind them then.
    pub(crate) async fn forget_events(&self, since: Timestamp) -> Result<(), Error> {
        loop {
            let anchor = self.chain().await?.integer("anchor_sequence")?;
            let rows = self.0.query(OLD, params![anchor, PAGE]).await?;
            let mut last = None;
            for row in &rows {
                if row.integer("event_time")? >= since.as_micros() {
                    break;
                }
                last = Some((row.integer("sequence")?, row.text("hash")?));
            }
            let Some((sequence, hash)) = last else { return Ok(()) };
            let batch =
                Batch::new().then(ANCHOR, params![sequence, hash]).then(FORGET, params![sequence]);
            self.0.write(batch).await?;
        }
    }
}

fn link_of(row: &Row) -> Result<Link, Error> {
    let broken = || Error::Row { what: "audit event" };
    let content = row.text("content")?;
    let kept = entry_of_content(&content).ok_or_else(broken)?;
    // The columns by which events are found must say what was hashed.
    let entry = crate::audit::Entry {
        time: row.integer("event_time")?,
        organization_id: row.text("organization_id")?,
        action: row.text("action")?,
        outcome: row.text("outcome")?,
        subject: row.text("subject")?,
        resource_type: row.text("resource_type")?,
        resource_id: row.text("resource_id")?,
        ..kept
    };
    Ok(Link {
        sequence: row.integer("sequence")?,
        previous_hash: row.text("previous_hash")?,
        hash: row.text("hash")?,
        content,
        entry,
    })
}

#[cfg(test)]
mod tests;
