//! Seasons at their owners.
