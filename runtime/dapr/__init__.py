"""The Dapr Workflow SDK's API for Python over perdure's own, as `perdure.dapr` offers it."""
