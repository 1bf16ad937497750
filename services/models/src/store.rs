//! What the service keeps: registered models and one row for each call of a model.
//!
//! The only file with SQL. Calls are append-only and hold no words of anybody; what they cost is summed
//! by the database.

use lightning_mesh::clock::Timestamp;
use lightning_store::{
    Batch, Database, Migration, Once, Outcome as Written, Row, Settings, once, params,
};

use crate::{
    domain::{
        CallRecord, Capability, CostLine, Costs, GroupBy, Model, ModelId, Prices, Source, Usage,
    },
    error::Error,
};

const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "models_and_calls",
        sql: "CREATE TABLE models (
            id TEXT PRIMARY KEY,
            name TEXT NOT NULL,
            provider TEXT NOT NULL,
            upstream_model TEXT NOT NULL,
            chat BIGINT NOT NULL,
            embeddings BIGINT NOT NULL,
            context_window BIGINT NOT NULL,
            input_price BIGINT NOT NULL,
            output_price BIGINT NOT NULL,
            create_time BIGINT NOT NULL
        );
        CREATE TABLE calls (
            id TEXT PRIMARY KEY,
            create_time BIGINT NOT NULL,
            model TEXT NOT NULL,
            provider TEXT NOT NULL,
            caller TEXT NOT NULL,
            kind TEXT NOT NULL,
            outcome TEXT NOT NULL,
            input_tokens BIGINT NOT NULL,
            output_tokens BIGINT NOT NULL,
            estimated BIGINT NOT NULL,
            cost BIGINT NOT NULL,
            latency BIGINT NOT NULL
        );
        CREATE INDEX calls_create_time ON calls (create_time);",
    },
    Migration { version: 2, name: "idempotency", sql: once::TABLE },
    // An id that a caller chose is unique within an organisation, not beyond, so the key changes,
    // which SQLite can only do by building the table anew.
    Migration {
        version: 3,
        name: "organizations",
        sql: "CREATE TABLE models_moved (
            organization_id TEXT NOT NULL DEFAULT 'default',
            id TEXT NOT NULL,
            name TEXT NOT NULL,
            provider TEXT NOT NULL,
            upstream_model TEXT NOT NULL,
            chat BIGINT NOT NULL,
            embeddings BIGINT NOT NULL,
            context_window BIGINT NOT NULL,
            input_price BIGINT NOT NULL,
            output_price BIGINT NOT NULL,
            create_time BIGINT NOT NULL,
            PRIMARY KEY (organization_id, id)
        );
        INSERT INTO models_moved
            SELECT 'default', id, name, provider, upstream_model, chat, embeddings, context_window,
                input_price, output_price, create_time FROM models;
        DROP TABLE models;
        ALTER TABLE models_moved RENAME TO models;
        ALTER TABLE calls ADD COLUMN organization_id TEXT NOT NULL DEFAULT 'default';
        CREATE INDEX calls_organization ON calls (organization_id, create_time);",
    },
];

const INSERT_MODEL: &str =
    "INSERT INTO models (id, name, provider, upstream_model, chat, embeddings,
        context_window, input_price, output_price, create_time, organization_id)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";

const GET_MODEL: &str = "SELECT * FROM models WHERE organization_id = $1 AND id = $2";

// Pages are merged with the fixed models in the order of bytes, which PostgreSQL follows when the
// database was made with LC_COLLATE C, as the store asks for.
const LIST_MODELS: &str = "SELECT * FROM models
    WHERE organization_id = $4 AND id > $1 AND (CAST($2 AS TEXT) IS NULL OR provider = $2) ORDER BY id LIMIT $3";

const DELETE_MODEL: &str = "DELETE FROM models WHERE organization_id = $1 AND id = $2";

const INSERT_CALL: &str =
    "INSERT INTO calls (id, create_time, model, provider, caller, kind, outcome,
        input_tokens, output_tokens, estimated, cost, latency, organization_id)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";

const FORGET_CALLS: &str = "DELETE FROM calls WHERE create_time < $1";

const SUM: &str = "SELECT '' AS line, COUNT(*) AS requests,
        CAST(COALESCE(SUM(cost), 0) AS BIGINT) AS cost,
        CAST(COALESCE(SUM(input_tokens), 0) AS BIGINT) AS input_tokens,
        CAST(COALESCE(SUM(output_tokens), 0) AS BIGINT) AS output_tokens
    FROM calls WHERE organization_id = $3 AND create_time >= $1 AND create_time < $2";

/// The sums by a column; one text each, because statements are constants.
macro_rules! sum_by {
    ($line:literal) => {
        concat!(
            "SELECT ",
            $line,
            " AS line, COUNT(*) AS requests,
                CAST(SUM(cost) AS BIGINT) AS cost,
                CAST(SUM(input_tokens) AS BIGINT) AS input_tokens,
                CAST(SUM(output_tokens) AS BIGINT) AS output_tokens
            FROM calls WHERE organization_id = $3 AND create_time >= $1 AND create_time < $2
            GROUP BY 1 ORDER BY 3 DESC, 2 DESC, 1 LIMIT 1000"
        )
    };
}

const SUM_BY_MODEL: &str = sum_by!("model");
const SUM_BY_PROVIDER: &str = sum_by!("provider");
const SUM_BY_CALLER: &str = sum_by!("caller");
// Days since 1970; they become dates outside, since the databases share no date function.
const SUM_BY_DAY: &str = sum_by!("CAST(create_time / 86400000000 AS TEXT)");

/// The service's database.
#[derive(Clone)]
pub(crate) struct Store {
    database: Database,
}

/// What became of a model that was to be registered.
pub(crate) enum Inserted {
    /// It is new.
    New,
    /// The same request came before; this was its answer.
    Replayed(Vec<u8>),
}

// === impl Store ===

impl Store {
    /// Opens the database and brings its tables up to date.
    pub(crate) async fn open(settings: &Settings) -> Result<Self, Error> {
        Ok(Self { database: Database::open(settings, "models", MIGRATIONS).await? })
    }

    /// Keeps a registered model.
    pub(crate) async fn insert_model(
        &self,
        organization: &str,
        model: &Model,
        once: Option<Once>,
        now: Timestamp,
    ) -> Result<Inserted, Error> {
        let values = params![
            model.id.as_str(),
            &model.name,
            &model.provider,
            &model.upstream,
            model.capabilities.contains(&Capability::Chat),
            model.capabilities.contains(&Capability::Embeddings),
            model.context_window,
            model.prices.input,
            model.prices.output,
            now.as_micros(),
            organization,
        ];
        let batch = Batch::new().then(INSERT_MODEL, values);
        match self.database.write_once(once, batch, now.as_micros()).await {
            Ok(Written::Done(_)) => Ok(Inserted::New),
            Ok(Written::Replayed(reply)) => Ok(Inserted::Replayed(reply)),
            Ok(Written::Mismatch) => Err(Error::KeyReused),
            Err(error) if error.is_conflict() => {
                Err(Error::ModelExists { model: model.id.to_string() })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A model that an organisation registered.
    pub(crate) async fn model(&self, organization: &str, id: &str) -> Result<Option<Model>, Error> {
        let row = self.database.query_opt(GET_MODEL, params![organization, id]).await?;
        row.as_ref().map(read_model).transpose()
    }

    /// Models that an organisation registered, after an id, in the order of their ids.
    pub(crate) async fn models(
        &self,
        organization: &str,
        after: &str,
        provider: Option<&str>,
        most: usize,
    ) -> Result<Vec<Model>, Error> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let params = params![after, provider, most, organization];
        let rows = self.database.query(LIST_MODELS, params).await?;
        rows.iter().map(read_model).collect()
    }

    /// Deletes a registered model; tells whether there was one.
    pub(crate) async fn delete_model(&self, organization: &str, id: &str) -> Result<bool, Error> {
        Ok(self.database.execute(DELETE_MODEL, params![organization, id]).await?.changed > 0)
    }

    /// Keeps the record of a call.
    pub(crate) async fn insert_call(&self, call: &CallRecord) -> Result<(), Error> {
        let values = params![
            &call.id,
            call.create_time.as_micros(),
            &call.model,
            &call.provider,
            &call.caller,
            call.kind.as_str(),
            call.outcome.as_str(),
            call.usage.input_tokens,
            call.usage.output_tokens,
            call.estimated,
            call.cost,
            call.latency_micros,
            &call.organization_id,
        ];
        self.database.execute(INSERT_CALL, values).await?;
        Ok(())
    }

    /// What the calls of an organisation cost, from `start` until before `end`.
    pub(crate) async fn costs(
        &self,
        organization: &str,
        start: Timestamp,
        end: Timestamp,
        by: GroupBy,
    ) -> Result<Costs, Error> {
        let span = || params![start.as_micros(), end.as_micros(), organization];
        let sql = match by {
            GroupBy::Model => SUM_BY_MODEL,
            GroupBy::Provider => SUM_BY_PROVIDER,
            GroupBy::Caller => SUM_BY_CALLER,
            GroupBy::Day => SUM_BY_DAY,
        };
        let total = self
            .database
            .query_opt(SUM, span())
            .await?
            .ok_or(Error::Damaged("a sum has no row"))?;
        let rows = self.database.query(sql, span()).await?;
        let mut lines = rows.iter().map(read_line).collect::<Result<Vec<_>, _>>()?;
        if by == GroupBy::Day {
            for line in &mut lines {
                line.key = date(&line.key);
            }
        }
        Ok(Costs { start, end, total: read_line(&total)?, lines })
    }

    /// Deletes calls older than `calls` and idempotency keys older than `keys`; answers how many calls.
    pub(crate) async fn forget(&self, calls: Timestamp, keys: Timestamp) -> Result<u64, Error> {
        self.database.forget_once(keys.as_micros()).await?;
        Ok(self.database.execute(FORGET_CALLS, params![calls.as_micros()]).await?.changed)
    }
}

fn read_model(row: &Row) -> Result<Model, Error> {
    let mut capabilities = Vec::new();
    if row.boolean("chat")? {
        capabilities.push(Capability::Chat);
    }
    if row.boolean("embeddings")? {
        capabilities.push(Capability::Embeddings);
    }
    Ok(Model {
        id: ModelId::parse(&row.text("id")?).ok_or(Error::Damaged("a model has a malformed id"))?,
        name: row.text("name")?,
        provider: row.text("provider")?,
        upstream: row.text("upstream_model")?,
        capabilities,
        context_window: u32::try_from(row.integer("context_window")?).unwrap_or(0),
        prices: Prices { input: row.integer("input_price")?, output: row.integer("output_price")? },
        source: Source::Registered,
        create_time: Some(Timestamp::from_micros(row.integer("create_time")?)),
    })
}

fn read_line(row: &Row) -> Result<CostLine, Error> {
    Ok(CostLine {
        key: row.text("line")?,
        cost: row.integer("cost")?,
        requests: row.integer("requests")?,
        usage: Usage {
            input_tokens: row.integer("input_tokens")?,
            output_tokens: row.integer("output_tokens")?,
        },
    })
}

/// `YYYY-MM-DD` from days since 1970.
fn date(days: &str) -> String {
    let days: i64 = days.parse().unwrap_or(0);
    let text = Timestamp::from_micros(days.saturating_mul(86_400_000_000)).to_string();
    text.chars().take(10).collect()
}
