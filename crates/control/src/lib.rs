//! The registry on its port: connections, limits, timeouts, and the task that owns the machine.
