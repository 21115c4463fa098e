"""Activities: where each one runs (`dispatch`), and running it (`runner`)."""
