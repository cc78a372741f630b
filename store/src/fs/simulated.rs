//! A file system in memory that fails, dies and forgets at the call it is told, for tests.
