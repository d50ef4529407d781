"""What is shipped: `sbom`, `licences` and `audit` list it, `changes` compares two lists of it."""
