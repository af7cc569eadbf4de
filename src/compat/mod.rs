//! What exists only because clients expect the habits of the backend that this one replaces.
//!
//! - [`datetime`]: timestamps as 3.3.0 writes them (contract 00, section 2).
//! - [`numbers`]: rounding (contract 00, section 1).
//! - [`Stamp`]: an instant as database and answers hold it.
//! - [`uvicorn`]: the command line of existing compose files.
//! - [`validation`]: the 422 items of FastAPI (contract 00, section 5).

pub mod datetime;
pub mod numbers;
mod stamp;
pub mod uvicorn;
pub mod validation;

pub use stamp::Stamp;
