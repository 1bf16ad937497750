//! Tests follow with the endpoint.
