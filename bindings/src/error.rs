//! Errors on their way to JavaScript: `Error` with a string `code`.

/// A stable code, such as `bind_failed`; napi makes it `error.code`.
pub struct Code(&'static str);

impl Code {
    /// For what has thrown an error of its own: napi then adds none.
    pub(crate) fn pending() -> napi::Error<Code> {
        napi::Error::new(Self("PendingException"), String::new())
    }
}

impl AsRef<str> for Code {
    fn as_ref(&self) -> &str {
        self.0
    }
}

impl From<napi::Status> for Code {
    /// What napi itself fails with is a wrong call, which is this package's own bug.
    fn from(_: napi::Status) -> Self {
        Self("internal")
    }
}

/// A result that throws with a code.
pub type Result<T> = napi::Result<T, Code>;

/// An error with a code and a message for people.
pub(crate) fn error(code: &'static str, why: impl ToString) -> napi::Error<Code> {
    napi::Error::new(Code(code), why.to_string())
}
