//! Which methods are judged together: those of one gRPC service that may be repeated alike.
//!
//! The classes are numbered once from the contract, so that their count is fixed and a lookup is one
//! hash. Methods that the contract does not know (of upstreams that are not ours) share one class.

use std::{collections::HashMap, sync::LazyLock};

use crate::contract;

struct Classes {
    by_path: HashMap<String, usize>,
    count: usize,
}

static CLASSES: LazyLock<Classes> = LazyLock::new(|| {
    let mut by_path = HashMap::new();
    let mut numbers = HashMap::new();
    for service in lightning_proto::pool().services() {
        for method in service.methods() {
            let path = format!("/{}/{}", service.full_name(), method.name());
            let method = contract::Method::of(&method);
            let kind = (service.full_name().to_owned(), method.safe, method.idempotent);
            // Zero is what is not known.
            let next = numbers.len() + 1;
            by_path.insert(path, *numbers.entry(kind).or_insert(next));
        }
    }
    Classes { by_path, count: numbers.len() + 1 }
});

/// The number of the class of a method, by its path.
pub(in crate::channel) fn of(path: &str) -> usize {
    CLASSES.by_path.get(path).copied().unwrap_or(0)
}

/// How many classes there are.
pub(super) fn count() -> usize {
    CLASSES.count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_that_may_be_repeated_alike_are_judged_together() {
        let agents = |method| of(&format!("/lightning.agents.v1.AgentService/{method}"));
        assert_eq!(agents("GetAgent"), agents("ListAgents"));
        assert_ne!(agents("GetAgent"), agents("CreateAgent"));
        assert_ne!(agents("GetAgent"), of("/lightning.agents.v1.TemplateService/GetTemplate"));
        assert_eq!((of("/example.Foreign/Call"), of("nonsense")), (0, 0));
        assert!(count() > agents("GetAgent"));
    }
}
