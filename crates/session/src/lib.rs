//! Who is registered, what they have staged and applied: the registry as a machine.
