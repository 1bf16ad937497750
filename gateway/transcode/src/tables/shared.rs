//! One set of tables for each pool, however many codecs are made of it: where all services run in one
//! process they have one contract, and its tables are among the larger things that an idle process
//! holds. Tables that nobody holds any more are dropped, so contracts may come and go.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use prost_reflect::DescriptorPool;

use super::Tables;

static ALL: Mutex<Vec<Weak<Tables>>> = Mutex::new(Vec::new());

/// The tables of a pool, compiled if no codec has them yet. Those who ask at the same time wait for each
/// other, and then share.
pub(super) fn of(pool: &DescriptorPool) -> Arc<Tables> {
    let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    all.retain(|tables| tables.strong_count() > 0);
    let same = all.iter().filter_map(Weak::upgrade).find(|tables| tables.pool == *pool);
    same.unwrap_or_else(|| {
        let tables = Arc::new(Tables::new(pool));
        all.push(Arc::downgrade(&tables));
        tables
    })
}
