//! Webhooks and their events as rows.
//!
//! An event is inserted with its sender's id as key, so a repeated delivery changes nothing. Events that
//! wait are found by state and time; handing one on is safe to repeat, so no row is locked for it.

use lightning_mesh::{clock::Timestamp, identity::Caller};
use lightning_store::{Batch, Expect, Once, Outcome, Row, params};

use super::{Listing, Store, UnknownWord, damaged, time};
use crate::{
    Error,
    domain::{Event, EventStatus, Scheme, Webhook, WebhookId},
};

const INSERT: &str = "INSERT INTO webhooks
    (id, name, signature_scheme, workflow_id, secret, owner, create_time, organization_id)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";

const GET: &str = "SELECT id, name, signature_scheme, workflow_id, secret, owner, create_time,
    organization_id FROM webhooks WHERE organization_id = $1 AND id = $2";

// For a delivery from outside, which has no caller: the id and the signature are what it shows.
const FIND: &str = "SELECT id, name, signature_scheme, workflow_id, secret, owner, create_time,
    organization_id FROM webhooks WHERE id = $1";

const LIST_NEWEST: &str =
    "SELECT id, name, signature_scheme, workflow_id, secret, owner, create_time, organization_id
    FROM webhooks
    WHERE organization_id = $6 AND (CAST($1 AS TEXT) IS NULL OR name = CAST($1 AS TEXT))
      AND (CAST($2 AS TEXT) IS NULL OR workflow_id = CAST($2 AS TEXT))
      AND (create_time < $3 OR (create_time = $3 AND id < $4))
    ORDER BY create_time DESC, id DESC LIMIT $5";

const LIST_OLDEST: &str =
    "SELECT id, name, signature_scheme, workflow_id, secret, owner, create_time, organization_id
    FROM webhooks
    WHERE organization_id = $6 AND (CAST($1 AS TEXT) IS NULL OR name = CAST($1 AS TEXT))
      AND (CAST($2 AS TEXT) IS NULL OR workflow_id = CAST($2 AS TEXT))
      AND (create_time > $3 OR (create_time = $3 AND id > $4))
    ORDER BY create_time, id LIMIT $5";

const DELETE: &str = "DELETE FROM webhooks WHERE organization_id = $2 AND id = $1";

const DELETE_EVENTS: &str =
    "DELETE FROM webhook_events WHERE organization_id = $2 AND webhook_id = $1";

// Only while its webhook exists: a deletion that was faster leaves no orphan behind.
const INSERT_EVENT: &str = "INSERT INTO webhook_events
    (webhook_id, id, status, content_type, body, attempts, due_time, create_time, organization_id)
    SELECT webhooks.id, $2, $3, $4, $5, 0, $6, $6, webhooks.organization_id FROM webhooks
    WHERE webhooks.organization_id = $7 AND webhooks.id = $1
    ON CONFLICT (webhook_id, id) DO NOTHING";

const LIST_EVENTS: &str =
    "SELECT webhook_id, id, status, content_type, body, execution_id, error, attempts, create_time,
        organization_id
    FROM webhook_events
    WHERE organization_id = $5 AND webhook_id = $1 AND (create_time < $2 OR (create_time = $2 AND id < $3))
    ORDER BY create_time DESC, id DESC LIMIT $4";

const DUE_EVENTS: &str =
    "SELECT webhook_id, id, status, content_type, body, execution_id, error, attempts, create_time,
        organization_id
    FROM webhook_events WHERE status = 'pending' AND due_time <= $1 ORDER BY due_time LIMIT $2";

const NEXT_DUE: &str =
    "SELECT due_time FROM webhook_events WHERE status = 'pending' ORDER BY due_time LIMIT 1";

const DELIVERED: &str = "UPDATE webhook_events
    SET status = 'delivered', execution_id = $3, error = NULL, attempts = attempts + 1
    WHERE organization_id = $4 AND webhook_id = $1 AND id = $2 AND status = 'pending'";

const FAILED: &str = "UPDATE webhook_events
    SET status = 'failed', error = $3, attempts = attempts + 1
    WHERE organization_id = $4 AND webhook_id = $1 AND id = $2 AND status = 'pending'";

const LATER: &str = "UPDATE webhook_events
    SET error = $3, due_time = $4, attempts = attempts + 1
    WHERE organization_id = $5 AND webhook_id = $1 AND id = $2 AND status = 'pending'";

impl Store {
    /// Writes a new webhook.
    pub(crate) async fn insert_webhook(
        &self,
        webhook: &Webhook,
        once: Option<Once>,
    ) -> Result<Outcome, Error> {
        let owner = serde_json::to_string(&webhook.owner).map_err(damaged("webhook"))?;
        let values = params![
            webhook.id.as_str(),
            &webhook.name,
            webhook.scheme.as_str(),
            webhook.workflow_id.as_deref(),
            &webhook.sealed,
            owner,
            webhook.created_at.as_micros(),
            &webhook.owner.organization_id,
        ];
        self.write_once(once, Batch::new().then(INSERT, values), webhook.created_at).await
    }

    /// The webhook of an id.
    pub(crate) async fn webhook(
        &self,
        organization: &str,
        id: &WebhookId,
    ) -> Result<Webhook, Error> {
        match self.database.query_opt(GET, params![organization, id.as_str()]).await? {
            Some(row) => read(&row),
            None => Err(Error::WebhookNotFound { id: id.to_string() }),
        }
    }

    /// The webhook of an id, whosever it is: for what comes in from outside.
    pub(crate) async fn webhook_of_anybody(&self, id: &WebhookId) -> Result<Webhook, Error> {
        match self.database.query_opt(FIND, params![id.as_str()]).await? {
            Some(row) => read(&row),
            None => Err(Error::WebhookNotFound { id: id.to_string() }),
        }
    }

    /// A page of webhooks; the filter is name, workflow.
    pub(crate) async fn webhooks(&self, listing: &Listing<'_>) -> Result<Vec<Webhook>, Error> {
        let sql = if listing.newest_first { LIST_NEWEST } else { LIST_OLDEST };
        let (at, id) = listing.start();
        let [name, workflow] = listing.equal;
        let values = params![name, workflow, at, id, listing.limit(), listing.organization];
        let rows = self.database.query(sql, values).await?;
        rows.iter().map(read).collect()
    }

    /// Deletes a webhook with its events.
    pub(crate) async fn delete_webhook(
        &self,
        organization: &str,
        id: &WebhookId,
    ) -> Result<(), Error> {
        let batch = Batch::new()
            .then_expect(DELETE, params![id.as_str(), organization], Expect::Rows(1))
            .then(DELETE_EVENTS, params![id.as_str(), organization]);
        match self.database.write(batch).await {
            Ok(_) => Ok(()),
            Err(lightning_store::Error::Unexpected { .. }) => {
                Err(Error::WebhookNotFound { id: id.to_string() })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Writes an event unless its id is known; tells whether it was new. On disk when it returns.
    pub(crate) async fn insert_event(&self, event: &Event) -> Result<bool, Error> {
        let values = params![
            event.webhook_id.as_str(),
            &event.id,
            event.status.as_str(),
            &event.content_type,
            event.body.clone(),
            event.created_at.as_micros(),
            &event.organization_id,
        ];
        Ok(self.database.execute(INSERT_EVENT, values).await?.changed > 0)
    }

    /// A page of the events of a webhook, newest first.
    pub(crate) async fn events(
        &self,
        webhook: &WebhookId,
        listing: &Listing<'_>,
    ) -> Result<Vec<Event>, Error> {
        let (at, id) = listing.start();
        let values = params![webhook.as_str(), at, id, listing.limit(), listing.organization];
        self.database.query(LIST_EVENTS, values).await?.iter().map(read_event).collect()
    }

    /// The events whose workflow is to be started now.
    pub(crate) async fn due_events(&self, now: Timestamp, limit: i64) -> Result<Vec<Event>, Error> {
        let rows = self.database.query(DUE_EVENTS, params![now.as_micros(), limit]).await?;
        rows.iter().map(read_event).collect()
    }

    /// When the next event is due, if any waits.
    pub(crate) async fn next_due(&self) -> Result<Option<Timestamp>, Error> {
        let row = self.database.query_opt(NEXT_DUE, params![]).await?;
        row.map(|row| time(&row, "due_time")).transpose()
    }

    /// Notes that an event was handed on.
    pub(crate) async fn event_delivered(
        &self,
        event: &Event,
        execution_id: &str,
    ) -> Result<(), Error> {
        let (webhook, organization) = (event.webhook_id.as_str(), &event.organization_id);
        let values = params![webhook, &event.id, execution_id, organization];
        self.database.execute(DELIVERED, values).await?;
        Ok(())
    }

    /// Notes that an event cannot be handed on.
    pub(crate) async fn event_failed(&self, event: &Event, why: &str) -> Result<(), Error> {
        let values = params![event.webhook_id.as_str(), &event.id, why, &event.organization_id];
        self.database.execute(FAILED, values).await?;
        Ok(())
    }

    /// Notes that an event is to be handed on later.
    pub(crate) async fn event_later(
        &self,
        event: &Event,
        why: &str,
        due: Timestamp,
    ) -> Result<(), Error> {
        let (webhook, organization) = (event.webhook_id.as_str(), &event.organization_id);
        let values = params![webhook, &event.id, why, due.as_micros(), organization];
        self.database.execute(LATER, values).await?;
        Ok(())
    }
}

fn read(row: &Row) -> Result<Webhook, Error> {
    let scheme = Scheme::parse(&row.text("signature_scheme")?);
    let owner: Caller = serde_json::from_str(&row.text("owner")?).map_err(damaged("webhook"))?;
    Ok(Webhook {
        id: WebhookId::parse(&row.text("id")?).map_err(damaged("webhook"))?,
        name: row.text("name")?,
        scheme: scheme.ok_or(UnknownWord).map_err(damaged("webhook"))?,
        workflow_id: row.opt_text("workflow_id")?,
        sealed: row.text("secret")?,
        // An owner who was kept before there were organisations has none.
        owner: owner.member_of(row.text("organization_id")?),
        created_at: time(row, "create_time")?,
    })
}

fn read_event(row: &Row) -> Result<Event, Error> {
    let status = EventStatus::parse(&row.text("status")?);
    Ok(Event {
        organization_id: row.text("organization_id")?,
        id: row.text("id")?,
        webhook_id: WebhookId::parse(&row.text("webhook_id")?).map_err(damaged("event"))?,
        status: status.ok_or(UnknownWord).map_err(damaged("event"))?,
        content_type: row.text("content_type")?,
        body: row.blob("body")?,
        execution_id: row.opt_text("execution_id")?,
        error: row.opt_text("error")?,
        attempts: row.integer("attempts")?,
        created_at: time(row, "create_time")?,
    })
}
