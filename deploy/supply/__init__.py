"""What is shipped: `sbom` lists it, `licences` says under which terms, `audit` looks it up."""
