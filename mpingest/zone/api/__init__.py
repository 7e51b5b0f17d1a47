"""What each request does: one module a group of APIs, each handler a function of session and request."""
