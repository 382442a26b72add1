//! Expositions while they are written.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use forkmeter_core::encode::{Encoding, Escaping, Format};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::family::NativeFamily;
use crate::text::Text;

/// For how many registries it is remembered how long their expositions are.
const KNOWN_LENS: usize = 16;

static LENS: [AtomicUsize; KNOWN_LENS] = [const { AtomicUsize::new(0) }; KNOWN_LENS];

/// Is an exposition that is being written, by one thread.
///
/// What is written stands in the bytes object that is returned at the end, which is made a little longer than the last
/// exposition of the registry was. So a repeated scrape takes the memory of its text once, and a first one twice.
#[pyclass(module = "forkmeter._forkmeter")]
#[derive(Debug)]
pub(crate) struct Exposition {
    format: Format,
    /// Why nothing native can be written.
    refusal: Option<String>,
    /// Which of `LENS` has the length of the last one.
    known: usize,
    text: Text,
    /// What is not handed on to the text yet.
    buffer: Vec<u8>,
}

impl Exposition {
    /// Writes a part, with the interpreter released; after an error it is as if nothing had been written.
    ///
    /// # Errors
    ///
    /// `ValueError` where the escaping is unknown, or a sample cannot be written.
    pub(crate) fn encode(
        &mut self,
        py: Python<'_>,
        write: impl FnOnce(&mut Encoding<'_>) + Send,
    ) -> PyResult<()> {
        if let Some(refusal) = &self.refusal {
            return Err(PyValueError::new_err(refusal.clone()));
        }
        let (format, text, buffer) = (self.format, &mut self.text, &mut self.buffer);
        let mark = text.len();
        let written = py.detach(|| {
            let mut hand_on = |part: &[u8]| text.push(part);
            let mut encoding = Encoding::in_parts(format, buffer, &mut hand_on);
            write(&mut encoding);
            encoding.end_without_eof()
        });
        written.map_err(|error| {
            self.text.truncate(mark);
            PyValueError::new_err(error.to_string())
        })
    }
}

#[pymethods]
impl Exposition {
    /// Starts an exposition; `registry` is a number that tells registries apart.
    #[new]
    fn new(
        py: Python<'_>,
        registry: usize,
        is_openmetrics: bool,
        escaping: &str,
    ) -> PyResult<Self> {
        let parsed = escaping.parse::<Escaping>();
        let refusal = parsed.as_ref().err().map(ToString::to_string);
        let escaping = parsed.unwrap_or_default();
        let format = if is_openmetrics {
            Format::OpenMetrics100 { escaping }
        } else {
            Format::Text100 { escaping }
        };
        // Addresses of objects are multiples of 16.
        let known = (registry / 16 + usize::from(is_openmetrics)) % KNOWN_LENS;
        // ORDERING: a guess; whatever was there is good enough.
        let last_len = LENS[known].load(Relaxed);
        Ok(Self {
            format,
            refusal,
            known,
            text: Text::with_room(py, last_len + last_len / 16)?,
            buffer: Vec::new(),
        })
    }

    /// Writes families, with the interpreter released; after an error it is as if nothing had been written.
    ///
    /// # Errors
    ///
    /// `ValueError` where the escaping is unknown, or a sample cannot be written.
    #[expect(clippy::needless_pass_by_value, reason = "the signature is PyO3's")]
    fn write_families(
        &mut self,
        py: Python<'_>,
        families: Vec<PyRef<'_, NativeFamily>>,
    ) -> PyResult<()> {
        let families: Vec<_> = families
            .iter()
            .map(|family| family.content().clone())
            .collect();
        self.encode(py, |encoding| {
            for family in &families {
                family.encode_into(encoding);
            }
        })
    }

    /// Adds lines that were written elsewhere.
    fn write(&mut self, lines: &[u8]) {
        self.text.push(lines);
    }

    /// Returns all that was written, and starts anew.
    fn finish<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let text = std::mem::take(&mut self.text);
        // ORDERING: as in `new`.
        LENS[self.known].store(text.len(), Relaxed);
        text.into_bytes(py)
    }
}
