//! Tables of the session machine.
