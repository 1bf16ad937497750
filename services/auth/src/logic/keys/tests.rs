//! Keys in the database: made once, sealed, taken over from files, refused under another sealing key.
