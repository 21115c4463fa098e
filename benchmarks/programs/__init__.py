"""Programs that run in the environments of the SDKs. They import nothing of this project."""
