//! The mail server's side of the milter protocol (version 6), without input and output: packets to send, packets received, and what they mean.
