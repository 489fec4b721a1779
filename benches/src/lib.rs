//! Measuring beside the peers.
