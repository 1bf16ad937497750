//! An acknowledged write survives the death of its process.
//!
//! The test starts itself again as a writer that prints each key after it was acknowledged, kills
//! it in
//! the middle of its work and looks for every printed key. (That it also survives a power cut is
//! the
//! work of `synchronous = FULL`; no test of ours can pull the plug.)

use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
};

use futures_util::future::join_all;
use lightning_store::params;

use crate::place::{Place, TABLES};

const FOLDER: &str = "LIGHTNING_STORE_WRITER_FOLDER";
const INSERT: &str = "INSERT INTO things (id) VALUES ($1)";

/// How many writes the writer keeps in flight.
const LANES: usize = 16;

/// After how many acknowledged keys it is killed.
const ENOUGH: usize = 300;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the writer that the next test starts and kills"]
async fn the_writer_that_is_killed() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let mut place = Place::embedded();
    place.settings.data_dir = folder.into();
    let db = place.open().await;
    join_all((0..LANES).map(|lane| {
        let db = db.clone();
        async move {
            for number in 0_u64.. {
                let key = format!("{lane}-{number}");
                db.execute(INSERT, params![&key]).await.unwrap();
                // One write per line, so that lines never mix nor wait in a buffer.
                std::io::stdout()
                    .write_all(format!("acknowledged {key} end\n").as_bytes())
                    .unwrap();
            }
        }
    }))
    .await;
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    for _ in 0..3 {
        let place = Place::embedded();
        let acknowledged = write_until_killed(&place);
        assert!(acknowledged.len() >= ENOUGH, "{}", acknowledged.len());

        let db = place.open_with(TABLES).await.unwrap();
        let rows = db.query("SELECT id FROM things", params![]).await.unwrap();
        let kept: std::collections::HashSet<String> =
            rows.iter().map(|row| row.text("id").unwrap()).collect();
        for key in acknowledged {
            assert!(kept.contains(&key), "{key} was acknowledged and is lost");
        }
        let check = db.query_opt("PRAGMA integrity_check", params![]).await.unwrap().unwrap();
        assert_eq!(check.text("integrity_check").unwrap(), "ok");
    }
}

fn write_until_killed(place: &Place) -> Vec<String> {
    let mut writer = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "durability::the_writer_that_is_killed", "--nocapture"])
        .env(FOLDER, &place.settings.data_dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(writer.stdout.take().unwrap()).lines();
    let mut acknowledged = Vec::new();
    for line in lines {
        let line = line.unwrap();
        // The harness prints a line of its own, and the last line may be cut off.
        let Some((_, rest)) = line.split_once("acknowledged ") else { continue };
        let Some(key) = rest.strip_suffix(" end") else { continue };
        acknowledged.push(key.to_owned());
        if acknowledged.len() == ENOUGH {
            // SIGKILL: no destructor, no flush. The pipe is read to its end afterwards.
            writer.kill().unwrap();
        }
    }
    writer.wait().unwrap();
    acknowledged
}
