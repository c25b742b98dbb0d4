//! May this endpoint get this request now: drain, ejection, retry budget.
