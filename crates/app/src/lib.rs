//! Reads the configuration, joins the parts, runs and drains them.
