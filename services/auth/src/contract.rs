//! The permissions that methods of the contract need, read from its descriptors.
//!
//! The mesh enforces the same option, so a permission exists here exactly if some method asks for it.

use std::{collections::BTreeSet, sync::LazyLock};

use prost_reflect::Value;

/// The method option that names the permission.
const OPTION: &str = "lightning.options.v1.permission";

static PERMISSIONS: LazyLock<Vec<String>> = LazyLock::new(read);

/// Every permission that a caller can hold, sorted.
pub(crate) fn permissions() -> &'static [String] {
    &PERMISSIONS
}

fn read() -> Vec<String> {
    let pool = lightning_proto::pool();
    let Some(option) = pool.get_extension_by_name(OPTION) else {
        return Vec::new();
    };
    let mut names = BTreeSet::new();
    for service in pool.services() {
        for method in service.methods() {
            let options = method.options();
            // `public` and `internal` have no dot: nobody holds them.
            if let Value::String(name) = options.get_extension(&option).as_ref()
                && name.contains('.')
            {
                names.insert(name.clone());
            }
        }
    }
    names.into_iter().collect()
}
