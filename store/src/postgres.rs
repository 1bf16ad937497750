//! A schema per service in PostgreSQL.
//!
//! A batch is one transaction whose statements are sent without waiting for each other's answers;
//! the
//! commit waits for them, because expectations are checked in between. PostgreSQL does its own
//! group
//! commit. Any number of processes may share a schema: what SQLite gets from its single writer, the
//! conditions in the SQL have to give here.
//!
//! TLS to the server is not built yet: `sslmode=require` is refused rather than silently weakened.

mod fault;
mod migrate;
mod value;

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use deadpool_postgres::{
    GenericClient, Hook, HookError, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime,
    Transaction,
};
use futures_util::TryStreamExt;
use tokio_postgres::{Config, NoTls, RowStream, Statement as Prepared, config::SslMode};

use crate::{
    Batch, Done, Error, Figures, Migration, Params, Row,
    batch::{Answer, Statement},
    sqlite::Counters,
};

use self::fault::{from_pool, from_postgres};

/// How long a call waits for a free connection.
const POOL_WAIT: Duration = Duration::from_secs(10);

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);

/// How often a batch that lost a deadlock or a serialisation conflict is run again.
const ATTEMPTS: usize = 4;

/// How many statements are sent ahead of their answers.
const PIPELINE: usize = 64;

// An acknowledged write is on disk, also where the server's default is to answer earlier.
const SESSION: &str = "SET statement_timeout = '30s'; SET idle_in_transaction_session_timeout = '60s';
    SET client_min_messages = 'warning';
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'";

/// One service's schema. Clones share its connections.
#[derive(Clone)]
pub(crate) struct Postgres {
    pool: Pool,
    counters: Arc<Counters>,
}

// === impl Postgres ===

impl Postgres {
    pub(crate) async fn open(
        url: &str,
        size: usize,
        service: &'static str,
        migrations: &'static [Migration],
    ) -> Result<Self, Error> {
        let pool = pool(configure(url)?, size, service)?;
        let postgres = Self { pool, counters: Arc::new(Counters::default()) };
        let mut client = postgres.client().await?;
        migrate::check_server(&client).await?;
        migrate::run(&mut client, service, migrations).await?;
        drop(client);
        Ok(postgres)
    }

    pub(crate) async fn query(&self, sql: &'static str, params: Params) -> Result<Vec<Row>, Error> {
        let mut lease = Lease(Some(self.client().await?));
        let done = alone(lease.client(), sql, &params).await;
        lease.give_back();
        Counters::count(&self.counters.reads, 1);
        Ok(done?.rows)
    }

    pub(crate) async fn write(&self, batch: &Batch) -> Result<Vec<Done>, Error> {
        let mut attempt = 1;
        loop {
            match self.attempt(batch).await {
                Ok(done) => {
                    Counters::count(&self.counters.batches, 1);
                    Counters::count(&self.counters.commits, 1);
                    return Ok(done);
                }
                // The server undid the whole transaction and asks for another try.
                Err(error) if attempt < ATTEMPTS && fault::is_contention(&error) => attempt += 1,
                Err(error) => {
                    Counters::count(&self.counters.refused, 1);
                    return Err(error);
                }
            }
        }
    }

    async fn attempt(&self, batch: &Batch) -> Result<Vec<Done>, Error> {
        let mut lease = Lease(Some(self.client().await?));
        let outcome = match batch.statements() {
            // One statement is a transaction by itself.
            [Statement { sql, params, expect: None }] => {
                alone(lease.client(), sql, params).await.map(|done| vec![done])
            }
            _ => together(lease.client(), batch).await,
        };
        lease.give_back();
        outcome
    }

    async fn client(&self) -> Result<Object, Error> {
        self.pool.get().await.map_err(from_pool)
    }

    pub(crate) fn figures(&self) -> Figures {
        self.counters.figures()
    }

    pub(crate) fn close(&self) {
        self.pool.close();
    }
}

/// A borrowed connection.
///
/// A caller that stops waiting leaves a statement running on its connection, up to 30 seconds.
/// Given
/// back like that, it would hold up whoever borrows it next; so it leaves the pool and is closed.
struct Lease(Option<Object>);

// === impl Lease ===

impl Lease {
    fn client(&mut self) -> &mut Object {
        self.0.as_mut().expect("the connection is there until it is given back")
    }

    fn give_back(mut self) {
        drop(self.0.take());
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(abandoned) = self.0.take() {
            drop(Object::take(abandoned));
        }
    }
}

fn configure(url: &str) -> Result<Config, Error> {
    // The parser's error may quote the URL, which holds a password.
    let mut config: Config = url.parse().map_err(|_| {
        Error::Settings("url is not a postgres:// URL that is understood".to_owned())
    })?;
    if !matches!(config.get_ssl_mode(), SslMode::Disable | SslMode::Prefer) {
        let text = "TLS to PostgreSQL is not supported yet: use sslmode=disable or sslmode=prefer over a trusted network";
        return Err(Error::Settings(text.to_owned()));
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT);
    }
    if config.get_application_name().is_none() {
        config.application_name("lightning");
    }
    Ok(config)
}

fn pool(config: Config, size: usize, service: &'static str) -> Result<Pool, Error> {
    let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager = Manager::from_config(config, NoTls, recycling);
    // The service's word was checked to be a plain identifier. A SET, not a startup option, so that
    // options of the URL stay untouched.
    let session: Arc<str> = format!("SET search_path TO \"{service}\"; {SESSION}").into();
    let prepare = Hook::async_fn(move |client: &mut deadpool_postgres::ClientWrapper, _| {
        let session = session.clone();
        Box::pin(async move { client.batch_execute(&session).await.map_err(HookError::Backend) })
    });
    Pool::builder(manager)
        .max_size(size)
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(POOL_WAIT))
        .create_timeout(Some(CONNECT + CONNECT))
        .recycle_timeout(Some(CONNECT))
        .post_create(prepare)
        .build()
        .map_err(|error| Error::Settings(error.to_string()))
}

/// Runs one statement outside any transaction of ours.
async fn alone(client: &Object, sql: &str, params: &Params) -> Result<Done, Error> {
    let prepared = client.prepare_cached(sql).await.map_err(|error| from_postgres(0, &error))?;
    run(client, 0, &prepared, params).await
}

/// Runs a batch in a transaction, which rolls itself back on any way out before the commit.
async fn together(client: &mut Object, batch: &Batch) -> Result<Vec<Done>, Error> {
    let transaction = client.transaction().await.map_err(|error| from_postgres(0, &error))?;
    let done = run_all(&transaction, batch).await?;
    transaction.commit().await.map_err(|error| from_postgres(0, &error))?;
    Ok(done)
}

/// Runs the statements of a batch in order, a stretch of them in flight at once.
async fn run_all(transaction: &Transaction<'_>, batch: &Batch) -> Result<Vec<Done>, Error> {
    let statements = batch.statements();
    let mut all = Vec::with_capacity(statements.len());
    for (stretch, chunk) in statements.chunks(PIPELINE).enumerate() {
        let first = stretch * PIPELINE;
        let mut prepared = Vec::with_capacity(chunk.len());
        for (number, statement) in chunk.iter().enumerate() {
            let ready = transaction.prepare_cached(statement.sql).await;
            prepared.push(ready.map_err(|error| from_postgres(first + number, &error))?);
        }
        let running =
            chunk.iter().zip(&prepared).enumerate().map(|(number, (statement, prepared))| {
                run(transaction, first + number, prepared, &statement.params)
            });
        // After a failure the server refuses the rest, so the first error is the one that counts.
        for (number, done) in in_order(running).await.into_iter().enumerate() {
            let done = done?;
            chunk[number].verify(first + number, &done)?;
            all.push(done);
        }
    }
    Ok(all)
}

/// Runs one prepared statement to its end.
async fn run<C: GenericClient>(
    client: &C,
    number: usize,
    prepared: &Prepared,
    params: &Params,
) -> Result<Done, Error> {
    if prepared.params().len() != params.len() {
        let reason = "the statement has another number of parameters";
        return Err(Error::Parameter { statement: number, reason });
    }
    let failed = |error| from_postgres(number, &error);
    let stream: RowStream = client.query_raw(prepared, params).await.map_err(failed)?;
    let mut stream = pin!(stream);
    let names: Arc<[String]> =
        prepared.columns().iter().map(|column| column.name().to_owned()).collect();
    let mut answer = Answer::default();
    while let Some(row) = stream.try_next().await.map_err(failed)? {
        answer.push(value::decode(&row, &names)?)?;
    }
    let rows = answer.into_rows();
    let changed = match names.is_empty() {
        true => stream.rows_affected().unwrap_or(0),
        false => rows.len() as u64,
    };
    Ok(Done { changed, rows })
}

/// Drives futures at once and always polls them in their order: a statement is sent when its future
/// is
/// first polled, so this is the order in which the server sees them.
async fn in_order<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    type Running<F> = (Pin<Box<F>>, Option<<F as Future>::Output>);
    let mut running: Vec<Running<F>> = futures.map(|future| (Box::pin(future), None)).collect();
    poll_fn(|context| {
        let mut outcome = Poll::Ready(());
        for (future, output) in running.iter_mut().filter(|(_, output)| output.is_none()) {
            match future.as_mut().poll(context) {
                Poll::Ready(ready) => *output = Some(ready),
                Poll::Pending => outcome = Poll::Pending,
            }
        }
        outcome
    })
    .await;
    running.into_iter().filter_map(|(_, output)| output).collect()
}
