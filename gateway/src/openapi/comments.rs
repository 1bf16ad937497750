//! The comments of the contract, found by file and path in the descriptors' source information.

use std::collections::HashMap;

use prost_reflect::{DescriptorPool, FieldDescriptor};

/// All leading comments of a pool, each on one line.
pub(super) struct Comments {
    by_place: HashMap<(String, Vec<i32>), String>,
}

impl Comments {
    /// Reads the comments of every file that carries source information.
    pub(super) fn read(pool: &DescriptorPool) -> Self {
        let mut by_place = HashMap::new();
        for file in pool.files() {
            let proto = file.file_descriptor_proto();
            let locations = proto.source_code_info.iter().flat_map(|info| &info.location);
            for location in locations.filter(|location| location.leading_comments.is_some()) {
                let text = location.leading_comments().split_whitespace().collect::<Vec<_>>();
                by_place.insert((file.name().to_owned(), location.path.clone()), text.join(" "));
            }
        }
        Self { by_place }
    }

    /// The comment at a place, or an empty text.
    pub(super) fn of(&self, file: &str, path: &[i32]) -> &str {
        self.by_place.get(&(file.to_owned(), path.to_vec())).map_or("", String::as_str)
    }

    /// The comment of a field, or an empty text.
    pub(super) fn of_field(&self, field: &FieldDescriptor) -> &str {
        self.of(field.parent_file().name(), field.path())
    }
}
