"""What is special to Responses."""
