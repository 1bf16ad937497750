//! A SQLite file per service.
//!
//! One thread writes and a few connections read, which is how SQLite's write-ahead log wants to be
//! used: readers never wait for the writer nor the writer for them. The file belongs to one
//! process,
//! held by a lock beside it that vanishes with the process; a second owner would break the order
//! that
//! the single writer gives. Checkpoints run in the writer every 1,000 pages (SQLite's default).

mod connection;
mod fault;
mod readers;
mod writer;

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicU64, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use crate::{Batch, Done, Error, Figures, Migration, Params, Row, Settings};

use self::{readers::Readers, writer::Writer};

/// How long an opening waits for a predecessor that is just going.
const LOCK_WAIT: Duration = Duration::from_secs(2);

/// How often it looks.
const LOCK_POLL: Duration = Duration::from_millis(20);

/// One service's file. Clones share it.
#[derive(Clone)]
pub(crate) struct Sqlite {
    // Before the writer, so that the last connection to close is the writer's, which checkpoints.
    readers: Readers,
    writer: Writer,
    counters: Arc<Counters>,
}

/// What [`Figures`] are read from.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) reads: AtomicU64,
    pub(crate) batches: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) commits: AtomicU64,
}

// === impl Sqlite ===

impl Sqlite {
    pub(crate) async fn open(
        settings: &Settings,
        service: &'static str,
        migrations: &'static [Migration],
    ) -> Result<Self, Error> {
        let folder = settings.data_dir.clone();
        let path = folder.join(format!("{service}.db"));
        make_folder(&folder).map_err(fault::from_io)?;
        let lock = lock(&folder.join(format!("{service}.lock")), &path).await?;

        let file = path.clone();
        let prepared = tokio::task::spawn_blocking(move || {
            make_private(&file).map_err(fault::from_io)?;
            let mut connection = connection::open_writer(&file)?;
            connection::migrate(&mut connection, migrations)?;
            Ok::<_, Error>(connection)
        });
        let connection = prepared.await.map_err(|_| Error::Closed)??;

        let counters = Arc::new(Counters::default());
        let writer = Writer::start(service, path.clone(), lock, connection, counters.clone())?;
        let readers = Readers::new(path, settings.pool, counters.clone());
        Ok(Self { readers, writer, counters })
    }

    pub(crate) async fn query(&self, sql: &'static str, params: Params) -> Result<Vec<Row>, Error> {
        self.readers.query(sql, params).await
    }

    pub(crate) async fn write(&self, batch: Batch) -> Result<Vec<Done>, Error> {
        self.writer.write(batch).await
    }

    pub(crate) fn figures(&self) -> Figures {
        self.counters.figures()
    }

    pub(crate) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

// === impl Counters ===

impl Counters {
    pub(crate) fn figures(&self) -> Figures {
        Figures {
            reads: self.reads.load(Relaxed),
            batches: self.batches.load(Relaxed),
            refused: self.refused.load(Relaxed),
            commits: self.commits.load(Relaxed),
        }
    }

    pub(crate) fn count(counter: &AtomicU64, number: usize) {
        counter.fetch_add(number as u64, Relaxed);
    }
}

/// Makes the folder, for its owner only, unless it is there.
fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Makes the file, for its owner only; SQLite gives its log and index files the same mode.
fn make_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Takes the lock file, or says that another process owns the database.
async fn lock(path: &Path, database: &Path) -> Result<File, Error> {
    let file = make_private(path).map_err(fault::from_io)?;
    let deadline = Instant::now() + LOCK_WAIT;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                tokio::time::sleep(LOCK_POLL).await;
            }
            Err(TryLockError::WouldBlock) => {
                return Err(Error::Owned { path: PathBuf::from(database) });
            }
            Err(TryLockError::Error(error)) => return Err(fault::from_io(error)),
        }
    }
}
