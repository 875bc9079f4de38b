"""The management, handler by handler, against a gateway made of a real file; over the wire in tests/end_to_end/test_management.py."""
