//! The store against its promises: one suite per trait, run on every backend there is.
//!
//! The suite of databases runs on SQLite always (`embedded`) and on PostgreSQL (`scaled`) when
//! `LIGHTNING_TEST_POSTGRES_URL` names a server on which schemas may be made.

#[cfg(test)]
#[path = "it/bus.rs"]
mod bus;
#[cfg(test)]
#[path = "it/cache.rs"]
mod cache;
#[cfg(test)]
#[path = "it/cases.rs"]
mod cases;
#[cfg(test)]
#[path = "it/durability.rs"]
mod durability;
#[cfg(test)]
#[path = "it/once.rs"]
mod once;
#[cfg(test)]
#[path = "it/place.rs"]
mod place;
#[cfg(test)]
#[path = "it/postgres.rs"]
mod postgres;
#[cfg(test)]
#[path = "it/schema.rs"]
mod schema;
#[cfg(test)]
#[path = "it/sqlite.rs"]
mod sqlite;
#[cfg(test)]
#[path = "it/values.rs"]
mod values;

/// Makes a test of each case, on each database.
macro_rules! suite {
    ($($room:ident :: { $($case:ident),+ $(,)? }),+ $(,)?) => {
        mod embedded {
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    let place = crate::place::Place::embedded();
                    crate::$room::$case(&place).await;
                }
            )+)+
        }

        mod scaled {
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    let Some(place) = crate::place::Place::scaled(stringify!($case)).await else { return };
                    crate::$room::$case(&place).await;
                    place.remove().await;
                }
            )+)+
        }
    };
}

suite! {
    values::{
        values_survive_a_round_trip,
        nulls_are_told_from_empty_values,
        a_megabyte_survives,
        parameters_may_repeat_and_come_in_any_order,
        a_wrong_number_of_parameters_is_refused,
        optional_filters_work_through_a_cast,
        sums_counts_and_averages_have_one_type,
        like_minds_the_case,
        double_quotes_are_identifiers,
    },
    cases::{
        returning_gives_the_rows,
        changed_counts_rows,
        a_broken_expectation_undoes_the_whole_batch,
        a_conflict_names_its_columns,
        broken_rules_are_told_apart,
        a_failing_batch_harms_no_other,
        concurrent_increments_all_count,
        one_of_many_guarded_updates_wins,
        a_large_batch_is_atomic,
        an_upsert_updates,
        a_read_sees_what_was_acknowledged,
        reads_are_bounded,
        an_abandoned_read_is_stopped,
        a_closed_database_says_so,
        bad_sql_is_a_backend_error,
    },
    schema::{
        reopening_keeps_the_data,
        later_migrations_are_applied,
        a_changed_migration_is_refused,
        a_database_newer_than_the_program_is_refused,
        a_failing_migration_leaves_nothing,
        names_and_pools_are_checked,
    },
    once::{
        a_key_runs_its_batch_once,
        a_key_of_another_request_is_a_mismatch,
        concurrent_repetitions_run_once,
        a_failed_batch_leaves_the_key_free,
        scopes_are_apart,
        old_keys_are_forgotten,
    },
}
