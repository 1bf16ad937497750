//! What a token of ours is worth (RFC 7662), and taking it back (RFC 7009).
