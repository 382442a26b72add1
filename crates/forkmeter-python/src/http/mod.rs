//! HTTP requests, from their first byte to the last of their response, counted without running Python code.
//!
//! `forkmeter.fastapi` and `forkmeter.wsgi` declare the families and say what a route is; what happens for each request
//! happens here. Nothing here makes a request fail: what goes wrong is told to the Python half, which logs it once.

mod asgi;
mod measure;
mod recorder;
mod words;
mod wsgi;

pub(crate) use asgi::AsgiExchange;
pub(crate) use recorder::HttpRecorder;
pub(crate) use wsgi::WsgiExchange;
