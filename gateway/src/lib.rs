//! The edge: one door for REST, gRPC and gRPC-Web.
