//! Colours, where they are wanted.

/// Whether text is coloured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Paint(bool);

impl Paint {
    /// No colours.
    pub const fn plain() -> Self {
        Self(false)
    }

    /// Colours if `wanted`.
    pub const fn when(wanted: bool) -> Self {
        Self(wanted)
    }

    /// What stands out by nothing but weight.
    pub fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    /// What is well.
    pub fn good(self, text: &str) -> String {
        self.with("32", text)
    }

    /// What somebody should know.
    pub fn warn(self, text: &str) -> String {
        self.with("33", text)
    }

    /// What somebody should see to.
    pub fn bad(self, text: &str) -> String {
        self.with("31", text)
    }

    /// What stands back.
    pub fn faint(self, text: &str) -> String {
        self.with("2", text)
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.0 && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
