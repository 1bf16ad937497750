//! The whole path of transcoding, from an HTTP request to an HTTP answer, over a service that
//! remembers what it was sent and answers what a test tells it.

#[cfg(test)]
mod it {
    mod bounds;
    mod codec;
    mod differential;
    mod direct_decode;
    mod direct_encode;
    #[path = "../oracle/codec.rs"]
    mod oracle;
    mod random;
    mod rows;
    mod rules;
    mod streams;
    mod support;
}
