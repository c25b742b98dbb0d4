//! May this endpoint get this request, now: drains, ejections, retry budgets.
