//! Python warnings.

use std::ffi::CString;

use polars::prelude::*;
use pyo3::exceptions::PyUserWarning;
use pyo3::prelude::*;

/// Issues a `UserWarning`; an error if the user turns warnings into errors. Does nothing while
/// Python shuts down.
pub fn warn(text: &str) -> PolarsResult<()> {
    let text = CString::new(text.replace('\0', "\\0")).unwrap_or_default();
    let issue =
        |py: Python<'_>| PyErr::warn(py, &py.get_type::<PyUserWarning>(), text.as_c_str(), 1);
    let failed = |error: PyErr| polars_err!(ComputeError: "{error}");
    Python::try_attach(issue).unwrap_or(Ok(())).map_err(failed)
}
