"""The demo provider: what real SDKs make of it."""
