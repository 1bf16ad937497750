//! The enhanced service over real gRPC and REST, with a fresh database and a fake agents service.

#[cfg(test)]
mod it {
    mod agents;
    mod scaled;
    mod support;
    mod tasks;
}
