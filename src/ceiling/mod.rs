//! What must not be passed? Bounds, connections and the Universal Scalability Law.

pub mod connections;
pub mod scalability;
pub mod usl;
