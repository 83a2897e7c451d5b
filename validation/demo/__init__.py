"""The whole chain shown on one photo."""
