//! What runs the model: tract, which is compiled in, or ONNX Runtime, where its shared library is there.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use ort::environment::Environment;
use thiserror::Error;

/// Names the environment variable with the path of ONNX Runtime's shared library.
pub const LIBRARY_VARIABLE: &str = "ORT_DYLIB_PATH";

/// Neither backend came up.
#[derive(Debug, Clone, Error)]
#[error("the inference backend does not start: {0}")]
pub struct BackendError(String);

/// The backend of this process. There is one; the first caller decides which.
pub struct Backend {
    name: &'static str,
    reason: String,
    environment: Environment,
}

static BACKEND: OnceLock<Result<Backend, BackendError>> = OnceLock::new();

impl Backend {
    /// Starts the backend, or returns the one that is running: ONNX Runtime from `library`, or else from where
    /// `ORT_DYLIB_PATH` points; tract where neither is given or the library does not load. `library` counts only in
    /// the first call of the process.
    ///
    /// # Errors
    /// [`BackendError`] where not even tract starts.
    pub fn start(library: Option<&Path>) -> Result<&'static Self, BackendError> {
        BACKEND.get_or_init(|| Self::choose(library, std::env::var_os(LIBRARY_VARIABLE))).as_ref().map_err(Clone::clone)
    }

    fn choose(configured: Option<&Path>, variable: Option<OsString>) -> Result<Self, BackendError> {
        let candidates = configured
            .map(|path| (path.to_owned(), "the configuration"))
            .into_iter()
            .chain(variable.filter(|value| !value.is_empty()).map(|value| (PathBuf::from(value), LIBRARY_VARIABLE)));
        let mut refusals = Vec::new();
        for (path, origin) in candidates {
            // A relative path would be looked for beside the executable.
            let path = std::path::absolute(&path).unwrap_or(path);
            match ort::init_from(&path) {
                Ok(builder) => {
                    let environment = builder.build().map_err(|error| BackendError(error.to_string()))?;
                    let reason = format!("{}, named by {origin}", path.display());
                    return Ok(Self { name: "ONNX Runtime", reason, environment });
                }
                Err(error) => {
                    log::warn!("ONNX Runtime named by {origin} is not used: {error}");
                    refusals.push(format!("{origin} names a library that is not used: {error}"));
                }
            }
        }
        let reason = if refusals.is_empty() {
            format!("compiled in; {LIBRARY_VARIABLE} is not set")
        } else {
            format!("compiled in; {}", refusals.join("; "))
        };
        ort::set_api(ort_tract::api());
        let environment = ort::init().build().map_err(|error| BackendError(error.to_string()))?;
        Ok(Self { name: "tract", reason, environment })
    }

    /// `tract` or `ONNX Runtime`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Which one, and why: `tract (compiled in; ORT_DYLIB_PATH is not set)`.
    pub fn describe(&self) -> String {
        format!("{} ({})", self.name, self.reason)
    }

    pub(super) fn environment(&self) -> &Environment {
        &self.environment
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backend_says_what_it_is_and_why() {
        let backend = Backend::start(None).unwrap();
        assert!(std::ptr::eq(backend, Backend::start(Some(Path::new("/nowhere.so"))).unwrap()), "one a process");
        let description = backend.describe();
        assert!(description.starts_with(backend.name()), "{description}");
        assert!(description.contains(LIBRARY_VARIABLE), "{description}");
        if std::env::var_os(LIBRARY_VARIABLE).is_none() {
            assert_eq!(description, "tract (compiled in; ORT_DYLIB_PATH is not set)");
        }
    }
}
