//! What `decide` remembers from one evaluation to the next.

/// What `decide` remembers from one evaluation to the next. Empty at first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {}
