//! The integrations service over real gRPC and REST, with a fresh database and real small servers.
//!
//! The external systems are an HTTP server on loopback that does what a path tells it, and the
//! workflows service is a gRPC server on the same mesh. Nothing here reaches the Internet.

#[cfg(test)]
mod it {
    mod callbacks;
    mod integrations;
    mod organizations;
    mod reports;
    mod rest_api;
    mod salesforce;
    mod scaled;
    mod secrets;
    mod slack;
    mod support;
    mod upstream;
    mod webhooks;
    mod workflows;
}
