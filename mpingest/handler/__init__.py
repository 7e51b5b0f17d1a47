"""The user's event handler: Core, Operation, DeleteMode, and loading scripts."""
